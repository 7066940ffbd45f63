"""Routes of the dashboard: pages, the parts that htmx swaps, files, login. Everything is made on the server."""

from __future__ import annotations

import gzip
from functools import cache
from importlib.metadata import version as installed
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Form, Query, Request, Response
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import FileResponse, HTMLResponse, RedirectResponse

from shoploom import __version__
from shoploom.apps import models
from shoploom.errors import NotFoundError
from shoploom.serving.dashboard import certificates, ensembles, views, words
from shoploom.serving.keys import COOKIE, COOKIE_SECONDS, Keys
from shoploom.serving.service import Service, service_of
from shoploom.tasks.base import Repeats

STATIC = Path(__file__).parent / "static"
KINDS = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml", ".txt": "text/plain"}
REPORT_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"
ROUTER = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)


class Pages:
    """Writes pages of one shop.

    Args:
        service: Its engine, name, currency and clock.
        keys: Whether a log-out button is needed.
    """

    def __init__(self, service: Service, keys: Keys) -> None:
        self.service = service
        self.keys = keys
        shop = service.workspace.config.shop
        self._environment = Environment(
            loader=PackageLoader("shoploom.serving.dashboard"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters.update(words.filters(shop.currency, shop.timezone))
        self._environment.globals.update(shop=shop, stamp=_stamp())

    def show(self, template: str, content: dict[str, Any] | None = None, status: int = 200) -> Response:
        """One page or part."""
        engine = self.service.engine
        text = self._environment.get_template(template).render(
            version=engine.version,
            locked=self.keys.required,
            **(content or {}),
        )
        return HTMLResponse(text, status_code=status)

    def error(self, status: int, message: str) -> Response:
        """What a person sees when something is not there or not ready."""
        return self.show("error.html", {"status": status, "message": message, "page": ""}, status)


def install(app: FastAPI, keys: Keys) -> None:
    """Add the dashboard to an application that has a service."""
    app.state.pages = Pages(app.state.service, keys)
    app.include_router(ROUTER)


def pages_of(request: Request) -> Pages:
    """The pages of the application that a request came to."""
    found = request.app.state.pages
    assert isinstance(found, Pages)
    return found


@ROUTER.get("/")
async def overview(request: Request) -> Response:
    """The front page; says how to begin when nothing is trained yet."""
    service = service_of(request)
    if not service.engine.ready:
        return pages_of(request).show("welcome.html", {"page": "overview"})
    found = await service.run_slow(views.overview, service.engine)
    return pages_of(request).show("overview.html", {"page": "overview", **found})


@ROUTER.get("/customers")
async def customer_list(request: Request, q: Annotated[str, Query(max_length=512)] = "") -> Response:
    """Customers, searched as one types."""
    service = service_of(request)
    found = await service.run_slow(views.customer_list, service.engine, q)
    template = "_customers.html" if "hx-request" in request.headers else "customers.html"
    return pages_of(request).show(template, {"page": "customers", **found})


@ROUTER.get("/customers/{customer_id:path}")
async def customer(request: Request, customer_id: str) -> Response:
    """One customer."""
    service = service_of(request)
    found = await service.run_slow(views.customer_page, service.engine, customer_id)
    return pages_of(request).show("customer.html", {"page": "customers", **found})


@ROUTER.get("/parts/recommendations")
async def recommendations(
    request: Request, customer_id: str, repeats: Repeats = "auto", category: str | None = None
) -> Response:
    """The list of a customer's page for other choices."""
    service = service_of(request)
    found = await service.run(views.recommendations, service.engine, customer_id, repeats=repeats, category=category)
    return pages_of(request).show("_recommendations.html", found)


@ROUTER.get("/products")
async def product_list(request: Request, q: Annotated[str, Query(max_length=512)] = "") -> Response:
    """Products, searched as one types."""
    service = service_of(request)
    found = await service.run_slow(views.product_list, service.engine, q)
    template = "_products.html" if "hx-request" in request.headers else "products.html"
    return pages_of(request).show(template, {"page": "products", **found})


@ROUTER.get("/products/{product_id:path}")
async def product(request: Request, product_id: str) -> Response:
    """One product."""
    service = service_of(request)
    found = await service.run_slow(views.product_page, service.engine, product_id)
    return pages_of(request).show("product.html", {"page": "products", **found})


@ROUTER.get("/ensemble")
async def ensemble(
    request: Request, task: str = "", customer_id: Annotated[str, Query(max_length=512)] = ""
) -> Response:
    """Which members answer rankings together, and who put what on a customer's list."""
    service = service_of(request)
    found = await service.run_slow(ensembles.page, service.engine, task, customer_id)
    return pages_of(request).show("ensemble.html", {"page": "ensemble", **found})


@ROUTER.get("/parts/ensemble")
async def ensemble_box(
    request: Request, task: str, customer_id: Annotated[str, Query(max_length=512)] = ""
) -> Response:
    """The list of another customer."""
    service = service_of(request)
    found = await service.run_slow(ensembles.box, service.engine, task, customer_id)
    return pages_of(request).show("_ensemble.html", found)


@ROUTER.get("/certificate")
async def certificate(request: Request) -> Response:
    """Whether any task is worse off for being trained together with the others."""
    service = service_of(request)
    found = await service.run_slow(certificates.page, service.workspace.path)
    return pages_of(request).show("certificate.html", {"page": "certificate", **found})


@ROUTER.post("/versions/rollback")
async def rollback(request: Request) -> Response:
    """The button on the front page."""
    service = service_of(request)
    await service.run_slow(models.rollback, service.engine)
    return RedirectResponse("/#versions", status_code=303)


@ROUTER.post("/versions/{version}/promote")
async def promote(request: Request, version: str) -> Response:
    """The button on the front page."""
    service = service_of(request)
    await service.run_slow(models.promote, service.engine, version)
    return RedirectResponse("/#versions", status_code=303)


@ROUTER.get("/reports/{version}")
async def report(request: Request, version: str) -> Response:
    """The evaluation report of a version."""
    path = service_of(request).engine.registry.folder(version) / "report.html"
    return _document(path, f"version {version} has no report")


@ROUTER.get("/quality")
async def quality(request: Request) -> Response:
    """The last quality report."""
    path = service_of(request).workspace.reports_dir / "quality.html"
    return _document(path, "there is no quality report yet; run `shoploom check`")


@ROUTER.get("/docs")
async def docs(request: Request) -> Response:
    """The API in words, from its OpenAPI description."""
    found: dict[str, list[dict[str, Any]]] = {}
    for path, methods in request.app.openapi()["paths"].items():
        for method, one in methods.items():
            entry = {"method": method.upper(), "path": path, **one}
            found.setdefault(one.get("tags", ["other"])[0], []).append(entry)
    return pages_of(request).show("api.html", {"page": "api", "topics": found})


@ROUTER.get("/login")
async def login_page(request: Request) -> Response:
    """Asks for the key; sends home whoever needs none."""
    pages = pages_of(request)
    return pages.show("login.html", {"wrong": False}) if pages.keys.required else RedirectResponse("/", 303)


@ROUTER.post("/login")
async def login(request: Request, key: Annotated[str, Form(max_length=512)] = "") -> Response:
    """A signed cookie for a valid key."""
    pages = pages_of(request)
    cookie = pages.keys.cookie(key.strip())
    if cookie is None:
        return pages.show("login.html", {"wrong": True}, 401)
    response = RedirectResponse("/", status_code=303)
    response.set_cookie(
        COOKIE,
        cookie,
        max_age=COOKIE_SECONDS,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return response


@ROUTER.post("/logout")
async def logout() -> Response:
    """Forget the cookie."""
    response = RedirectResponse("/login", status_code=303)
    response.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return response


@ROUTER.get("/static/{name}")
async def static(request: Request, name: str) -> Response:
    """Our files and Plotly's JavaScript from the installed package; no other server is asked for anything."""
    packed = "gzip" in request.headers.get("accept-encoding", "")
    content = _file(name, packed=packed)
    headers = {"cache-control": "public, max-age=31536000, immutable", "vary": "accept-encoding"}
    if packed:
        headers["content-encoding"] = "gzip"
    return Response(content, media_type=KINDS[Path(name).suffix], headers=headers)


@cache
def _file(name: str, *, packed: bool) -> bytes:
    known = {path.name: path for path in STATIC.iterdir() if path.suffix in KINDS} | {"plotly.min.js": _plotly()}
    if name not in known:
        raise NotFoundError(f"there is no file {name!r}")
    content = known[name].read_bytes()
    return gzip.compress(content, 6) if packed else content


@cache
def _plotly() -> Path:
    found = find_spec("plotly")
    assert found is not None, "plotly is a dependency"
    assert found.origin is not None
    return Path(found.origin).parent / "package_data" / "plotly.min.js"


@cache
def _stamp() -> str:
    """Changes when a file may have changed, so that browsers may keep files for ever."""
    newest = max(path.stat().st_mtime_ns for path in STATIC.iterdir())
    return f"{__version__}-{installed('plotly')}-{newest:x}"


def _document(path: Path, missing: str) -> Response:
    if not path.exists():
        raise NotFoundError(missing)
    return FileResponse(path, media_type="text/html", headers={"content-security-policy": REPORT_POLICY})
