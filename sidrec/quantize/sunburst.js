"use strict";
// Zoom into the tree. Everything from the shop goes in as textContent, never as markup.
(() => {
  const data = JSON.parse(document.getElementById("tree").textContent);
  const [PARENT, CODE, ITEMS, CODES, WORDS, EXAMPLE] = [0, 1, 2, 3, 4, 5];
  const nodes = data.nodes, kids = nodes.map(() => []), depth = nodes.map(() => 0);
  nodes.forEach((node, at) => { if (at) { kids[node[PARENT]].push(at); depth[at] = depth[node[PARENT]] + 1; } });
  const svg = document.querySelector("#sunburst svg"), panel = document.getElementById("branches");
  const crumbs = panel.querySelector(".crumbs"), line = panel.querySelector(".about"), list = panel.querySelector("ol");
  const HOLE = 44, RIM = 198, CENTRE = 200, NARROWEST = 0.3, SHOWN = 10, LETTER = 5.4;
  const number = (n) => n.toLocaleString("en");
  const percent = (part, whole) => `${(100 * part / whole).toFixed(part < whole / 100 ? 2 : 1)} %`;

  const path = (at) => at ? [...path(nodes[at][PARENT]), at] : [];
  const name = (at) => {
    if (!at) return "all items";
    const kept = path(nodes[at][CODE] < 0 ? nodes[at][PARENT] : at).map((a) => data.letters[depth[a] - 1] + nodes[a][CODE]);
    return nodes[at][CODE] < 0 ? `${number(nodes[at][CODES])} other codes${kept.length ? ` under ${kept.join(" ")}` : ""}` : kept.join(" ");
  };
  const make = (tag, attributes, text) => {
    const made = document.createElementNS(svg.namespaceURI, tag);
    for (const key in attributes) made.setAttribute(key, attributes[key]);
    if (text !== undefined) made.textContent = text;
    return made;
  };
  const plain = (tag, text, kind) => {
    const made = document.createElement(tag);
    made.textContent = text;
    if (kind) made.className = kind;
    return made;
  };
  const say = (at) => {
    const [, code, items, , words, example] = nodes[at];
    line.replaceChildren(plain("strong", name(at)), ` · ${number(items)} items (${percent(items, nodes[0][ITEMS])} of all)`);
    if (at && code >= 0) line.append(" · ", plain("bdi", words), plain("br", ""), "e.g. ", plain("bdi", example));
  };
  const point = (radius, degrees) => {
    const angle = (degrees - 90) * Math.PI / 180;
    return `${(radius * Math.cos(angle)).toFixed(2)} ${(radius * Math.sin(angle)).toFixed(2)}`;
  };
  const arc = (start, wide, inner, outer) => {
    if (wide >= 359.99) return arc(0, 180, inner, outer) + arc(180, 180, inner, outer);
    const large = wide > 180 ? 1 : 0, end = start + wide;
    return `M${point(outer, start)}A${outer} ${outer} 0 ${large} 1 ${point(outer, end)}L${point(inner, end)}A${inner} ${inner} 0 ${large} 0 ${point(inner, start)}Z`;
  };
  const label = (words, middle, inner, outer) => {
    const fits = Math.floor((outer - inner - 8) / LETTER), all = words.split(" ");
    let text = all[0].length <= fits ? all[0] : all[0].slice(0, fits - 1) + "…";
    for (const word of all.slice(1)) if (text.length + 1 + word.length <= fits) text += ` ${word}`;
    const left = middle > 180;
    return make("text", { transform: `rotate(${(middle - 90 + (left ? 180 : 0)).toFixed(2)})`, x: left ? 4 - outer : outer - 4, y: 3.2, "text-anchor": left ? "start" : "end" }, text);
  };

  const show = (at, focus) => {
    const height = Math.max(1, data.letters.length - depth[at]);
    const edges = [[HOLE, RIM], [HOLE, 135, RIM], [HOLE, 118, 160, RIM]][height - 1];
    const whole = nodes[at][ITEMS], wedges = make("g", { transform: `translate(${CENTRE} ${CENTRE})`, class: "wedges" });
    const texts = make("g", { transform: `translate(${CENTRE} ${CENTRE})`, "font-size": 9.5, fill: "#15171a", "pointer-events": "none" });
    const draw = (parent, start, ring) => {
      let from = start, narrow = 0;
      for (const kid of kids[parent]) {
        const wide = 360 * nodes[kid][ITEMS] / whole;
        if (nodes[kid][CODE] < 0 || wide < NARROWEST) { narrow += wide; continue; }
        const middle = from + wide / 2, light = [66, 74, 82][ring];
        const wedge = make("path", { d: arc(from, wide, edges[ring], edges[ring + 1]), fill: `hsl(${middle.toFixed(1)} 55% ${light}%)`, "stroke-width": Math.min(0.5, wide * 0.12).toFixed(2) });
        wedge.addEventListener("pointerenter", () => say(kid));
        wedge.addEventListener("click", () => show(kids[kid].length ? kid : parent));
        wedges.append(wedge);
        const high = wide * Math.PI / 180 * (edges[ring] + edges[ring + 1]) / 2;
        if (nodes[kid][WORDS] && high >= 9.5 && edges[ring + 1] - edges[ring] >= 60) texts.append(label(nodes[kid][WORDS], middle, edges[ring], edges[ring + 1]));
        if (ring + 2 < edges.length) draw(kid, from, ring + 1);
        from += wide;
      }
      if (narrow > 0) wedges.append(make("path", { d: arc(from, narrow, edges[ring], edges[ring + 1]), fill: "var(--line)", "fill-opacity": 0.8 }));
    };
    draw(at, 0, 0);
    const middle = make("g", { transform: `translate(${CENTRE} ${CENTRE})`, "text-anchor": "middle", fill: "var(--ink)", class: at ? "up" : "" });
    middle.append(make("circle", { r: HOLE - 1, fill: "transparent" }), make("text", { y: -2, "font-size": 13 }, number(whole)), make("text", { y: 12, "font-size": 10 }, at ? "back" : "items"));
    if (at) middle.addEventListener("click", () => show(nodes[at][PARENT], false));
    svg.replaceChildren(wedges, texts, middle);
    wedges.addEventListener("pointerleave", () => say(at));

    crumbs.replaceChildren(...[0, ...path(at)].map((step) => {
      const button = plain("button", step ? data.letters[depth[step] - 1] + nodes[step][CODE] : "all items");
      button.type = "button";
      if (step === at) button.setAttribute("aria-current", "true");
      button.addEventListener("click", () => show(step, true));
      return button;
    }));
    const named = kids[at].filter((kid) => nodes[kid][CODE] >= 0), shown = named.slice(0, SHOWN);
    list.replaceChildren(...shown.map((kid) => {
      const row = plain("li", ""), opens = kids[kid].length > 0, spelled = data.letters[depth[kid] - 1] + nodes[kid][CODE];
      const head = plain(opens ? "button" : "strong", spelled);
      if (opens) { head.type = "button"; head.addEventListener("click", () => show(kid, true)); }
      row.append(head, ` ${number(nodes[kid][ITEMS])} · `, plain("bdi", nodes[kid][WORDS] || nodes[kid][EXAMPLE]));
      return row;
    }));
    const rest = kids[at].filter((kid) => !shown.includes(kid));
    const codes = rest.reduce((sum, kid) => sum + nodes[kid][CODES], 0), items = rest.reduce((sum, kid) => sum + nodes[kid][ITEMS], 0);
    if (codes) list.append(plain("li", `and ${number(codes)} more with ${number(items)} items together`, "soft"));
    say(at);
    if (focus) crumbs.lastElementChild.focus();
  };
  panel.addEventListener("keydown", (event) => {
    const open = crumbs.children.length;
    if (event.key === "Escape" && open > 1) crumbs.children[open - 2].click();
  });
  panel.hidden = false;
  show(0, false);
})();
