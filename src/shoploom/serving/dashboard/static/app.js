// Draws the figures of a page with Plotly; colours come from the style sheet, so that light and dark both work.
"use strict";

const style = () => getComputedStyle(document.documentElement);

function coloured(value, css) {
  if (typeof value === "string" && value.startsWith("var(")) return css.getPropertyValue(value.slice(4, -1)).trim();
  if (Array.isArray(value)) return value.map((one) => coloured(one, css));
  if (value && typeof value === "object")
    return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, coloured(one, css)]));
  return value;
}

function layout(own, css) {
  const soft = css.getPropertyValue("--soft").trim(), line = css.getPropertyValue("--line").trim();
  const axis = { gridcolor: line, zerolinecolor: line, linecolor: line, tickfont: { color: soft, size: 12 },
    automargin: true, fixedrange: true };
  return { ...own, margin: { l: 8, r: 8, t: 8, b: 8 }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: getComputedStyle(document.body).fontFamily, color: soft }, showlegend: own.showlegend ?? false,
    hoverlabel: { bgcolor: css.getPropertyValue("--paper").trim(), bordercolor: line,
      font: { color: css.getPropertyValue("--ink").trim() } },
    dragmode: false, xaxis: { ...axis, showgrid: false, ...own.xaxis }, yaxis: { ...axis, nticks: 5, ...own.yaxis } };
}

function draw() {
  if (typeof Plotly === "undefined") return;
  const css = style();
  for (const place of document.querySelectorAll(".chart[data-figure]")) {
    const figure = coloured(JSON.parse(document.getElementById(place.dataset.figure).textContent), css);
    Plotly.react(place, figure.data, layout(figure.layout, css), { displayModeBar: false, responsive: true });
    place.dataset.drawn = "yes";
  }
}

document.addEventListener("DOMContentLoaded", draw);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
document.addEventListener("submit", (event) => {
  const question = event.target.dataset.confirm;
  if (question && !confirm(question)) event.preventDefault();
});
