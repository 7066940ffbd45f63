"""What a column means, by its name: the spellings of common exports in several languages, then the words in the name.

Names are compared in lower case without accents, spaces and punctuation; of dotted names (``properties.product_id``)
the whole is compared first, then the last part.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Final

from shoploom.data import schema

EVENT_LINE: Final = (
    schema.EVENT_ID,
    schema.TIME,
    schema.CUSTOMER,
    schema.SESSION,
    schema.ORDER,
    schema.STORE,
    schema.TYPE,
    schema.PRODUCT,
    schema.QUANTITY,
    schema.PRICE,
    schema.AMOUNT,
    schema.DISCOUNT,
    schema.QUERY,
    schema.POSITION,
    schema.REQUEST,
    schema.PROPENSITY,
)
PRODUCT_FIELDS: Final = (schema.TITLE, schema.DESCRIPTION, schema.CATEGORY, schema.BRAND, schema.IMAGE)
COUPON: Final = "coupon"
"""A discount that is no part of the shelf price, such as a maker's coupon; kept in the event's context."""

BLOCK: Final = "block"
"""Number of a period, counted from an origin, in place of start and end."""

SEVERAL: Final = (schema.CATEGORY, schema.ATTRIBUTES, schema.DISCOUNT, COUPON, schema.TIME, schema.SHARE, schema.TITLE)
"""Roles that may be made of several columns."""

ROLES: Final[Mapping[str, tuple[str, ...]]] = {
    "events": (*EVENT_LINE, *PRODUCT_FIELDS, COUPON, schema.CONTEXT, schema.ATTRIBUTES),
    "products": (schema.PRODUCT, *PRODUCT_FIELDS, schema.PRICE, schema.CREATED, schema.ATTRIBUTES),
    "customers": (schema.CUSTOMER, schema.CREATED, schema.ATTRIBUTES),
    "promotions": (schema.PRODUCT, schema.STORE, schema.START, schema.END, BLOCK, schema.KIND, schema.SHARE),
}
"""Table -> the roles that a column of a file can have in it."""

OPTIONS: Final = {
    "time_format": "how times are written, as in strftime",
    "timezone": "IANA name of the clock of times without a zone",
    "decimal": "decimal sign of numbers, . or ,",
    "delimiter": "between the columns of a text file",
    "discount_per": "line or unit: what a discount is counted for",
    "price_is": "paid or shelf: whether discounts are taken off the price already",
    "block_origin": "moment at which block 0 starts, UTC",
    "block_days": "length of a block",
}
"""Further keys of a mapping, and what they say."""

_ALIASES: Final[Mapping[str, str]] = {
    schema.EVENT_ID: "eventid messageid insertid eventuuid uuid",
    schema.TIME: "time timestamp datetime ts eventtime eventtimestamp originaltimestamp receivedat sentat date day "
    "invoicedate orderdate orderdatetime ordertime purchasedate purchasetime purchasedat orderpurchasetimestamp "
    "transactiondate transactiontime transactiontimestamp tdat createdat created createtime eventdate occurredat "
    "saledate salesdate datum zeitpunkt zeitstempel bestelldatum kaufdatum fecha fechahora fechapedido fechacompra "
    "dateheure datecommande dateachat datadoc dataacquisto dataordine datacompra datapedido 日期 时间 下单时间 "
    "购买时间 订单时间 日時 注文日 注文日時 дата",
    schema.CUSTOMER: "customerid customer customerno customernumber customerkey customeruniqueid userid user "
    "userpseudoid visitorid clientid client memberid householdid householdkey shopperid buyerid personid accountid "
    "contactid cardid loyaltyid custid cid uid visitor custno kundennummer kundennr kundenid kunde kdnr clienteid "
    "cliente idcliente codcliente numclient idclient usuario usuarioid utilisateur utilisateurid 用户id 客户id 会员id "
    "顾客id 用户 会员 顧客id 会員id клиент",
    schema.SESSION: "sessionid session gasessionid visitid usersession visitnumber sitzung sesion",
    schema.ORDER: "orderid order orderno ordernumber ordername invoice invoiceid invoiceno invoicenumber basketid "
    "basket transactionid transaction transactionno receiptid receiptno receipt receiptnumber billno billid "
    "ticketid ticket ticketno cartid checkoutid purchaseid saleid salesid bestellnummer bestellung bestellid belegnr "
    "rechnungsnummer rechnung auftragsnummer pedido pedidoid idpedido numeropedido factura numfactura commande "
    "commandeid numcommande facture ordine idordine numeroordine fattura 订单id 订单号 订单编号 注文id 注文番号 заказ",
    schema.STORE: "storeid store storeno storenumber storekey shopid shop outletid outlet branchid branch locationid "
    "warehouseid filiale filialnr tienda tiendaid magasin loja negozio 门店id 门店 店铺id 店舗id",
    schema.TYPE: "type eventtype event eventname action actiontype behavior behaviour behaviortype behaviourtype "
    "interaction interactiontype ereignis evento accion 行为类型 行为",
    schema.PRODUCT: "productid product productno productnumber productkey productcode productsku itemid item itemno "
    "itemcode itemnumber itemsku sku skuid stockcode articleid article articleno articlenumber articlecode asin "
    "parentasin goodsid materialid plu upc ean gtin barcode variantid lineitemsku productdetailsproductid "
    "artikelnummer artikelnr artikel artikelid produktid produkt produktnummer producto productoid idproducto "
    "codproducto codigoproducto produit produitid idproduit refproduit prodotto prodottoid codprodotto produto "
    "produtoid codproduto articulo 商品id 商品编号 商品编码 产品id 商品コード 商品番号 товар артикул",
    schema.QUANTITY: "quantity qty quantitysold orderquantity orderqty itemquantity itemqty units unitssold numunits "
    "count pieces amountordered numberofitems lineitemquantity menge anzahl stück stueck stuck cantidad quantite "
    "quantita quantidade qte qtd 数量 购买数量 件数 個数 количество",
    schema.PRICE: "price unitprice priceperunit itemprice sellingprice saleprice productprice priceeach pricevalue "
    "listprice retailprice actualprice currentprice unitcost lineitemprice preis einzelpreis stückpreis stuckpreis "
    "verkaufspreis precio preciounitario precioventa prix prixunitaire prezzo prezzounitario preco precounitario "
    "单价 价格 售价 価格 単価 цена",
    schema.AMOUNT: "amount linetotal total totalamount totalprice lineamount salesvalue salesamount sales revenue "
    "itemrevenue productrevenue netamount netsales grossamount subtotal extendedprice turnover value spend paid "
    "amountpaid paymentvalue betrag summe umsatz gesamtpreis gesamt importe importetotal montant montanttotal totale "
    "importo valor valortotal ventas 金额 总价 总金额 销售额 実付金額 сумма",
    schema.DISCOUNT: "discount discountamount discountvalue retaildisc couponmatchdisc itemdiscount linediscount "
    "totaldiscount promotiondiscount markdown rabatt nachlass descuento remise reduction sconto desconto 折扣 优惠金额 "
    "値引 скидка",
    COUPON: "coupondisc coupondiscount couponvalue couponamount gutschein",
    schema.QUERY: "query searchquery searchterm searchterms searchstring searchkeyword searchphrase keyword "
    "suchbegriff busqueda recherche 搜索词",
    schema.POSITION: "position rank listposition itemlistindex slot displayposition",
    schema.REQUEST: "requestid recommendationid attributiontoken impressionid",
    schema.PROPENSITY: "propensity propensityscore actionprob loggingprobability",
    schema.CONTEXT: "context",
    schema.TITLE: "title name productname producttitle itemname itemtitle articlename prodname description1 goodsname "
    "lineitemname bezeichnung artikelbezeichnung artikelname titel nombre nombreproducto titulo nom libelle "
    "nomproduit titre nome nomeprodotto nomeproduto titolo 商品名称 商品名 产品名称 标题 品名 название",
    schema.DESCRIPTION: "description productdescription itemdescription longdescription details detaildesc desc "
    "beschreibung descripcion descrizione descricao 描述 商品描述 説明 описание",
    schema.CATEGORY: "category categories categoryname categorypath categorycode categoryid productcategory "
    "productcategoryname itemcategory itemcategory1 itemcategory2 itemcategory3 itemcategory4 itemcategory5 "
    "department departmentname dept producttype producttypename productgroupname productgroup subcategory "
    "subcategoryname class maincategory aisle googleproductcategory kategorie warengruppe produktgruppe abteilung "
    "categoria departamento familia categorie rayon famille reparto 类目 类别 分类 品类 カテゴリ категория",
    schema.BRAND: "brand brandname manufacturer maker vendor productbrand itembrand marke hersteller marca marque 品牌 "
    "ブランド бренд",
    schema.IMAGE: "image imageurl imagelink imagepath picture pictureurl thumbnail photo mainimage bild imagen 图片",
    schema.CREATED: "createdat created signupdate registrationdate registeredat joindate joined firstseen launchdate "
    "availabletime releasedate publishedat customersince registriertam fecharegistro 注册时间 上架时间",
    schema.START: "start startdate starttime startsat validfrom begin begindate from startday beginn gueltigab "
    "fechainicio inicio debut datedebut inizio 开始时间 开始日期",
    schema.END: "end enddate endtime endsat validto validuntil until to finish ende gueltigbis fechafin fin datefin "
    "fine 结束时间 结束日期",
    BLOCK: "block period",
    schema.KIND: "kind promotiontype promotype promotionkind promotion promotionname mechanic campaigntype aktion art",
    schema.SHARE: "share storeshare shareofstores mailershare displayshare frontpageshare coverage",
}


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_COARSE_TO_FINE: Final = (
    ("department", "dept", "abteilung", "departamento", "division", "index"),
    ("maincategory", "itemcategory", "category", "categoryname", "aisle", "productgroup", "warengruppe", "section"),
    ("productcategory", "subcategory", "garmentgroup", "class"),
    ("producttype", "subclass", "type"),
)
"""Order of several category columns; a number at the end of the name counts after it."""

_WORDS: Final[Mapping[str, frozenset[str]]] = {
    schema.CUSTOMER: _set(
        "customer cust client user household member shopper buyer visitor kunde kunden cliente usuario utilisateur"
    ),
    schema.ORDER: _set(
        "order invoice basket transaction receipt ticket bill bestellung rechnung beleg pedido factura "
        "commande facture ordine checkout"
    ),
    schema.STORE: _set("store shop outlet branch filiale tienda magasin loja negozio"),
    schema.PRODUCT: _set(
        "product prod item sku article artikel produkt producto produit prodotto produto articulo stock goods material"
    ),
    schema.SESSION: frozenset(("session",)),
}
_ID_WORDS: Final = _set("id ids code no nr num number key nummer codigo numero ref sku")
_TIME_WORDS: Final = _set("date time timestamp datetime datum fecha zeit ts")


def normal(name: str) -> str:
    """A column name for comparing.

    Example:
        >>> normal("Customer ID"), normal("Prix_Unitaire"), normal("Año")
        ('customerid', 'prixunitaire', 'ano')
    """
    plain = unicodedata.normalize("NFKD", name.strip().lower())
    return "".join(one for one in plain if one.isalnum())


def words(name: str) -> list[str]:
    """The words of a column name: split at punctuation, spaces and humps.

    Example:
        >>> words("customerKey"), words("sold_to.client-no")
        (['customer', 'key'], ['sold', 'to', 'client', 'no'])
    """
    humps = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return [word for word in re.split(r"[\W_]+", humps.lower()) if word]


def _table_of_aliases() -> dict[str, list[tuple[str, int]]]:
    found: dict[str, list[tuple[str, int]]] = {}
    for role, names in _ALIASES.items():
        for place, name in enumerate(names.split()):
            found.setdefault(normal(name), []).append((role, place))
    return found


_BY_NAME: Final = _table_of_aliases()


def candidates(name: str) -> dict[str, float]:
    """Roles that a name suggests, with a rank: smaller is surer."""
    found: dict[str, float] = {}
    spellings = [normal(name)] + ([normal(name.rsplit(".", 1)[-1])] if "." in name else [])
    for step, spelling in enumerate(spellings):
        for role, place in _BY_NAME.get(spelling, []):
            found.setdefault(role, step * 1000 + place)
    if not found:
        parts = words(name)
        for role, entity in _WORDS.items():
            if entity & set(parts) and _ID_WORDS & set(parts):
                found[role] = 5000 + len(parts)
        if not found and _TIME_WORDS & set(parts):
            found[schema.TIME] = 6000 + len(parts)
    return found


def detect(columns: Iterable[str], table: str, taken: Mapping[str, str] | None = None) -> dict[str, list[str]]:
    """Role -> columns of a file for a canonical table, by their names alone.

    Args:
        columns: Names in the file.
        table: Canonical table.
        taken: Roles that are mapped already, with their columns as given; they and their columns are left out.
    """
    given = taken or {}
    busy = {one for value in given.values() for one in (value, *(part.strip() for part in value.split(",")))}
    offers: dict[str, list[tuple[float, str]]] = {}
    for name in columns:
        if name not in busy:
            roles = {
                role: rank for role, rank in candidates(name).items() if role in ROLES[table] and role not in given
            }
            if roles:
                best = min(roles, key=lambda role: (roles[role], role))
                offers.setdefault(best, []).append((roles[best], name))
    found = {role: [name for _, name in sorted(names, key=lambda one: one[0])] for role, names in offers.items()}
    found = {role: names if role in SEVERAL else names[:1] for role, names in found.items()}
    for role in (schema.TITLE, schema.TIME):
        if role in found:
            found[role] = found[role][:1]
    if schema.CATEGORY in found:
        found[schema.CATEGORY] = sorted(found[schema.CATEGORY], key=_fineness)
    if table == "events" and schema.DESCRIPTION in found and schema.TITLE not in {*found, *given}:
        found[schema.TITLE] = found.pop(schema.DESCRIPTION)
    return found


def table_of(columns: Iterable[str]) -> str | None:
    """The canonical table that a file with such columns holds, ``"orders"`` for order headers, None if none fits."""
    names = list(columns)
    roles: set[str] = set()
    for name in names:
        roles |= candidates(name).keys()
    product, customer = schema.PRODUCT in roles, schema.CUSTOMER in roles
    period = BLOCK in roles or (schema.START in roles and schema.END in roles)
    line = {schema.ORDER, schema.TYPE, schema.QUANTITY, schema.SESSION} & roles
    if product and period and not customer:
        return "promotions"
    if product and (line or customer):
        return "events"
    if product:
        return "events" if schema.TIME in roles and schema.TITLE not in roles else "products"
    if schema.ORDER in roles and (customer or schema.TIME in roles):
        return "orders"
    if customer and {schema.QUANTITY, schema.PRICE} & roles:
        return "events"  # without a product: the missing column is named when the mapping is checked
    return "customers" if customer else None


def _fineness(name: str) -> tuple[int, int, str]:
    spelled = normal(name.rsplit(".", 1)[-1])
    stem = spelled.rstrip("0123456789").removesuffix("name").removesuffix("id")
    number = int(spelled[len(spelled.rstrip("0123456789")) :] or 0)
    for level, names in enumerate(_COARSE_TO_FINE):
        if stem in names or spelled in names:
            return level, number, name
    return 2, number, name
