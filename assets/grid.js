// The picture grid of the pages: cards that are links, moved among with the arrow keys and picked with x or space.
//
// Streamlit calls `show` again whenever the data change. Cards are known by their keys: one whose data are the same is
// left alone, so that no picture is loaded anew, and the focus stays where it is.

const grids = new WeakMap(); // parentElement -> what is kept of a grid between two calls

export default function show({ data, parentElement, setTriggerValue }) {
  let grid = grids.get(parentElement);
  if (!grid) {
    grid = { cards: new Map(), wanted: new Map(), at: null, element: document.createElement("div") };
    grids.set(parentElement, grid);
    parentElement.querySelector(".jepa-row").append(grid.element);
    grid.element.addEventListener("keydown", (event) => steer(grid, event));
    grid.element.addEventListener("focusin", (event) => arrive(grid, event.target.closest("figure")));
  }
  grid.send = setTriggerValue;
  grid.newTab = data.new_tab;
  grid.element.className = ["jepa-grid", data.layout].filter(Boolean).join(" ");
  grid.element.setAttribute("role", "group");
  grid.element.setAttribute("aria-label", data.label);
  grid.element.style.setProperty("--edge", data.edge || "transparent");
  grid.element.classList.toggle("picking", data.cards.some((card) => card.picked));
  arrange(grid, data.cards);
  return () => grids.delete(parentElement);
}

function arrange(grid, cards) {
  const hadFocus = grid.element.contains(document.activeElement);
  const kept = new Map();
  const seen = new Map();
  const figures = cards.map((card, place) => {
    const name = card.id || `at ${place}`;
    const times = (seen.get(name) || 0) + 1;
    seen.set(name, times);
    const key = `${name} ${times}`;
    const figure = grid.cards.get(key) || blank(grid);
    kept.set(key, figure);
    draw(grid, figure, card);
    return figure;
  });
  grid.cards = kept;
  for (const figure of [...grid.element.children]) if (!figures.includes(figure)) figure.remove();
  figures.forEach((figure, place) => {
    const there = grid.element.children[place];
    if (there !== figure) grid.element.insertBefore(figure, there || null);
  });
  const reachable = faces(grid);
  const current = reachable.find((face) => face === grid.at) || reachable[0];
  for (const face of reachable) face.tabIndex = face === current ? 0 : -1;
  // A page of pictures took the place of another: the keyboard goes on in the new one.
  if (hadFocus && !grid.element.contains(document.activeElement)) current?.focus({ preventScroll: true });
}

function make(tag, className, parent) {
  const element = document.createElement(tag);
  element.className = className;
  parent.append(element);
  return element;
}

function blank(grid) {
  const figure = document.createElement("figure");
  figure.shown = {};
  const frame = make("div", "frame", figure);
  figure.badge = make("span", "badge", frame);
  figure.pick = make("button", "pick", frame);
  figure.pick.type = "button";
  figure.pick.tabIndex = -1; // the picture has the focus; x and space pick it
  figure.pick.addEventListener("click", () => toggle(grid, figure));
  figure.caption = make("figcaption", "", figure);
  return figure;
}

function draw(grid, figure, card) {
  const before = figure.shown;
  figure.shown = card;
  if (before.source !== card.source || before.problem !== card.problem || before.link !== card.link || before.alt !== card.alt) {
    drawFace(grid, figure, card, before);
  }
  if (before.title !== card.title || String(before.aside) !== String(card.aside)) {
    figure.caption.replaceChildren();
    make("span", "title", figure.caption).textContent = card.title;
    for (const line of card.aside) make("span", "aside", figure.caption).textContent = line;
  }
  figure.badge.textContent = card.badge;
  figure.badge.hidden = !card.badge;
  figure.pick.hidden = !card.id;
  // Until the answer is here, what was asked for is shown.
  if (grid.wanted.get(card.id)?.on === card.picked) grid.wanted.delete(card.id);
  mark(figure, grid.wanted.get(card.id)?.on ?? card.picked);
}

function drawFace(grid, figure, card, before) {
  let face = figure.face;
  if (!face || Boolean(before.link) !== Boolean(card.link)) {
    const other = document.createElement(card.link ? "a" : "div");
    if (face) face.replaceWith(other);
    else figure.firstChild.prepend(other);
    other.className = "face";
    other.addEventListener("click", (event) => open(grid, figure, event));
    if (face && grid.at === face) grid.at = other;
    face = figure.face = other;
    before = {};
  }
  if (card.link) {
    face.href = card.link;
    face.target = grid.newTab ? "_blank" : "_self";
  } else if (card.id) {
    face.setAttribute("role", "group"); // has no link but can be picked, so it takes the focus
    face.setAttribute("aria-label", card.alt);
  }
  if (before.source === card.source && before.problem === card.problem && before.alt === card.alt) return;
  if (!card.source) {
    face.replaceChildren();
    make("div", "gone", face).textContent = card.problem;
    return;
  }
  let image = face.querySelector("img");
  if (!image) {
    face.replaceChildren();
    image = make("img", "", face);
  }
  image.alt = card.alt;
  if (before.source !== card.source) image.src = card.source;
}

function mark(figure, picked) {
  const card = figure.shown;
  figure.picked = picked;
  figure.classList.toggle("picked", picked);
  figure.pick.setAttribute("aria-pressed", String(picked));
  figure.pick.setAttribute("aria-label", `${picked ? "Take out of" : "Add to"} the selection: ${card.alt}`);
  figure.pick.title = `${picked ? "Take out of" : "Add to"} the selection (x)`;
}

function toggle(grid, figure) {
  const { id, set } = figure.shown;
  if (!id) return;
  const on = !figure.picked;
  grid.wanted.set(id, { id, set, on });
  mark(figure, on);
  // All that is not answered yet: of two values sent at once, only the last arrives.
  grid.send("picked", [...grid.wanted.values()]);
}

function open(grid, figure, event) {
  // Another button or a modifier means another tab or window, which the browser knows how to open.
  if (!figure.shown.link || grid.newTab || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  figure.classList.add("opening");
  grid.send("opened", figure.shown.link);
}

function faces(grid) {
  return [...grid.element.querySelectorAll(".face")].filter((face) => {
    const card = face.closest("figure").shown;
    return card.link || card.id;
  });
}

function arrive(grid, figure) {
  if (!figure?.face) return;
  grid.at = figure.face;
  for (const face of faces(grid)) face.tabIndex = face === grid.at ? 0 : -1;
}

function steer(grid, event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const figure = event.target.closest("figure");
  if (!figure) return;
  if (event.key === "x" || (event.key === " " && event.target !== figure.pick)) {
    event.preventDefault();
    event.stopPropagation();
    toggle(grid, figure);
    return;
  }
  const all = faces(grid);
  const place = all.indexOf(figure.face);
  const top = all[0]?.getBoundingClientRect().top;
  const columns = all.filter((face) => Math.abs(face.getBoundingClientRect().top - top) < 2).length;
  const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns, Home: -place, End: all.length - 1 - place };
  if (!(event.key in steps)) return;
  const next = all[place + steps[event.key]];
  if (!next) return; // at an edge the key does what it does elsewhere
  event.preventDefault();
  next.focus();
}
