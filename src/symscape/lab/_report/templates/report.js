"use strict";
// Draws the figures, recolors them when the color scheme changes, and filters the claims.

const root = document.documentElement;
const dark = window.matchMedia("(prefers-color-scheme: dark)");
const coarse = window.matchMedia("(pointer: coarse)");

// Figures name colors by CSS variable ("--ink"); the scheme in force says what they are.
function resolved(value, styles) {
  if (typeof value === "string" && value.startsWith("--")) {
    return styles.getPropertyValue(value).trim();
  }
  if (Array.isArray(value)) {
    // Of long arrays of numbers the first one tells; a stop of a color scale is [0, "--map-low"].
    const plain = value.length > 2 && typeof value[0] !== "object";
    return plain ? value : value.map((v) => resolved(v, styles));
  }
  if (value && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, resolved(v, styles)]));
  }
  return value;
}

function draw(plot) {
  const styles = getComputedStyle(root);
  const source = JSON.parse(document.getElementById(plot.dataset.plot).textContent);
  const { data, layout } = resolved(source, styles);
  const buttons = plot.parentElement.querySelectorAll("[data-trace]");
  for (const button of buttons) {
    data[button.dataset.trace].visible = button.getAttribute("aria-pressed") === "true";
  }
  layout.font.family = styles.getPropertyValue("--sans");
  layout.autosize = true;
  layout.uirevision = plot.dataset.plot; // a change of colors keeps the zoom
  // A finger on a figure scrolls the page; a mouse draws the box to zoom into.
  layout.dragmode = coarse.matches ? false : "zoom";
  return window.Plotly.react(plot, data, layout, {
    responsive: true,
    displaylogo: false,
    displayModeBar: coarse.matches ? false : "hover",
    modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"],
    toImageButtonOptions: { format: "svg", filename: plot.dataset.plot },
  });
}

function drawAll() {
  return Promise.all(Array.from(document.querySelectorAll(".plot"), draw));
}

function switchTrace(button) {
  const shown = button.getAttribute("aria-pressed") !== "true";
  button.setAttribute("aria-pressed", String(shown));
  const plot = button.closest("figure").querySelector(".plot");
  window.Plotly.restyle(plot, { visible: shown }, [Number(button.dataset.trace)]);
}

function filterClaims(button) {
  const pressed = button.getAttribute("aria-pressed") !== "true";
  const buttons = document.querySelectorAll("[data-filter]");
  for (const other of buttons) other.setAttribute("aria-pressed", "false");
  button.setAttribute("aria-pressed", String(pressed));
  const wanted = pressed ? button.dataset.filter : null;
  for (const row of document.querySelectorAll("tr.claim")) {
    row.hidden = wanted !== null && row.dataset.verdict !== wanted;
  }
  for (const body of document.querySelectorAll("table.claims tbody")) {
    const rows = [...body.querySelectorAll("tr.claim")];
    body.hidden = wanted !== null && rows.every((row) => row.hidden);
  }
  for (const section of document.querySelectorAll("main > section")) {
    const bodies = [...section.querySelectorAll("tbody")];
    // Identities and checks are not among the counted ones.
    const apart = section.classList.contains("apart");
    section.hidden = wanted !== null && (apart || bodies.every((body) => body.hidden));
  }
  document.getElementById("filtered").textContent = wanted
    ? `Only measured claims that are ${wanted.replace("-", " ")} are shown. Press again to show all.`
    : "";
}

if (window.Plotly) {
  drawAll();
  dark.addEventListener("change", drawAll);
  // Paper is white, whatever the screen's scheme.
  window.addEventListener("beforeprint", () => {
    root.classList.add("printing");
    drawAll();
  });
  window.addEventListener("afterprint", () => {
    root.classList.remove("printing");
    drawAll();
  });
}
for (const button of document.querySelectorAll("[data-trace]")) {
  button.addEventListener("click", () => switchTrace(button));
}
for (const button of document.querySelectorAll("[data-filter]")) {
  button.addEventListener("click", () => filterClaims(button));
}
const made = window.symscapeReport;
if (made) {
  document.getElementById("made").textContent =
    `Report made on ${made.time} by version ${made.version}.`;
}
