// The list of checked pictures. Names come from files: they are set as text, never as markup.
export default function ({ data, parentElement, setTriggerValue }) {
  const list = parentElement.querySelector("ul");
  const shown = JSON.stringify(data.items.map((item) => item.id));
  if (list.dataset.shown !== shown) {
    list.dataset.shown = shown;
    list.replaceChildren(...data.items.map(entry));
  }
  list.querySelectorAll("button").forEach((button, place) => {
    button.setAttribute("aria-pressed", String(data.items[place].id === data.chosen));
    button.onclick = () => setTriggerValue("chosen", data.items[place].id);
  });

  function entry(item) {
    const line = document.createElement("li");
    const button = document.createElement("button");
    const words = document.createElement("span");
    const picture = document.createElement("img");
    button.type = "button";
    button.style.setProperty("--mark", item.colour);
    picture.src = item.source;
    picture.alt = "";
    words.className = "words";
    for (const [name, text] of [["kind", item.kind], ["name", item.name], ["place", item.place]]) {
      const part = document.createElement("span");
      part.className = name;
      part.textContent = text;
      words.append(part);
    }
    const sign = document.createElement("img");
    sign.className = "sign";
    sign.src = item.icon;
    sign.alt = "";
    words.firstChild.prepend(sign);
    button.append(picture, words);
    line.append(button);
    return line;
  }
}
