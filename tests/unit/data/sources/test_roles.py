from __future__ import annotations

import pytest

from shoploom.data.sources.roles import detect, table_of

EXPORTS = {
    "uci retail": ("events", "Invoice,StockCode,Description,Quantity,InvoiceDate,Price,Customer ID,Country",
        {"order_id": "Invoice", "product_id": "StockCode", "title": "Description", "quantity": "Quantity",
         "time": "InvoiceDate", "price": "Price", "customer_id": "Customer ID"}),
    "h&m": ("events", "t_dat,customer_id,article_id,price,sales_channel_id",
        {"time": "t_dat", "customer_id": "customer_id", "product_id": "article_id", "price": "price"}),
    "rees46": ("events", "event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session",
        {"time": "event_time", "type": "event_type", "product_id": "product_id", "brand": "brand", "price": "price",
         "customer_id": "user_id", "session_id": "user_session"}),
    "google retail": ("events", "eventType,visitorId,eventTime,productDetails.product.id,productDetails.quantity",
        {"type": "eventType", "customer_id": "visitorId", "time": "eventTime",
         "product_id": "productDetails.product.id", "quantity": "productDetails.quantity"}),
    "ga4": ("events", "event_name,event_timestamp,user_pseudo_id,items.item_id,items.quantity,items.price",
        {"type": "event_name", "time": "event_timestamp", "customer_id": "user_pseudo_id",
         "product_id": "items.item_id", "quantity": "items.quantity", "price": "items.price"}),
    "segment": ("events",
        "messageId,event,userId,originalTimestamp,properties.product_id,properties.order_id,properties.price",
        {"event_id": "messageId", "type": "event", "customer_id": "userId", "time": "originalTimestamp",
         "product_id": "properties.product_id", "order_id": "properties.order_id", "price": "properties.price"}),
    "dunnhumby": ("events",
        "household_key,BASKET_ID,DAY,PRODUCT_ID,QUANTITY,SALES_VALUE,STORE_ID,RETAIL_DISC,COUPON_DISC",
        {"customer_id": "household_key", "order_id": "BASKET_ID", "time": "DAY", "product_id": "PRODUCT_ID",
         "quantity": "QUANTITY", "amount": "SALES_VALUE", "store_id": "STORE_ID", "discount": "RETAIL_DISC",
         "coupon": "COUPON_DISC"}),
    "german": ("events", "Kundennummer;Artikelnummer;Bestelldatum;Menge;Einzelpreis;Bestellnummer",
        {"customer_id": "Kundennummer", "product_id": "Artikelnummer", "time": "Bestelldatum", "quantity": "Menge",
         "price": "Einzelpreis", "order_id": "Bestellnummer"}),
    "spanish": ("events", "ID Cliente;ID Producto;Fecha;Cantidad;Precio Unitario;Factura",
        {"customer_id": "ID Cliente", "product_id": "ID Producto", "time": "Fecha", "quantity": "Cantidad",
         "price": "Precio Unitario", "order_id": "Factura"}),
    "french": ("events", "id_client;ref_produit;date_commande;quantité;prix_unitaire;commande",
        {"customer_id": "id_client", "product_id": "ref_produit", "time": "date_commande", "quantity": "quantité",
         "price": "prix_unitaire", "order_id": "commande"}),
    "chinese": ("events", "用户ID,商品ID,行为类型,时间",
        {"customer_id": "用户ID", "product_id": "商品ID", "type": "行为类型", "time": "时间"}),
    "own words": ("events", "loyalty_member_code,prod_nbr_code,ticket_number,sold_on_date,qty",
        {"customer_id": "loyalty_member_code", "product_id": "prod_nbr_code", "order_id": "ticket_number",
         "time": "sold_on_date", "quantity": "qty"}),
    "catalogue": ("products", "sku,name,brand,price,department,category",
        {"product_id": "sku", "title": "name", "brand": "brand", "price": "price"}),
    "customers": ("customers", "CustomerID,Age,Gender", {"customer_id": "CustomerID"}),
    "promotions": ("promotions", "item_id,promo_type,start_date,end_date",
        {"product_id": "item_id", "kind": "promo_type", "start": "start_date", "end": "end_date"}),
    "order headers": ("orders", "order_id,customer_id,order_status,order_purchase_timestamp",
        {"order_id": "order_id", "customer_id": "customer_id", "time": "order_purchase_timestamp"}),
}  # fmt: skip


@pytest.mark.parametrize("name", EXPORTS)
def test_telling_names_are_understood(name):
    table, header, wanted = EXPORTS[name]
    columns = header.replace(";", ",").split(",")
    assert table_of(columns) == table
    found = detect(columns, "events" if table == "orders" else table)
    assert {role: found.get(role, [None])[0] for role in wanted} == wanted


def test_categories_are_ordered_from_coarse_to_fine():
    found = detect(["product_type", "product_id", "product_category", "department"], "products")
    assert found["category"] == ["department", "product_category", "product_type"]
    numbered = detect(["item_id", "item_category2", "item_category", "item_category3"], "products")
    assert numbered["category"] == ["item_category", "item_category2", "item_category3"]


def test_mapped_columns_are_not_offered_again():
    assert "order_id" not in detect(["invoice", "sku"], "events", {"session_id": "invoice"})


def test_names_that_tell_nothing_tell_nothing():
    assert table_of(["a", "b", "c"]) is None
    assert detect(["a", "b"], "events") == {}
