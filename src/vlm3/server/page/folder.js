// A folder of pictures to choose from, when the server was started with one.

import { Problem, fetched } from "./api.js";
import { el } from "./words.js";

// chosen(file) is told the picture that was pressed.
export async function showFolder(node, chosen, complain) {
  const names = await (await fetched("v1/page/pictures")).json();
  const list = node.querySelector("ul");
  const images = names.map((name, place) => {
    const image = el("img", { alt: "", width: 160, height: 120 });
    const press = async () => {
      try {
        chosen(new File([await (await fetched(`v1/page/pictures/${place}`)).blob()], name));
      } catch (error) {
        complain(error instanceof Problem ? new Problem(`${name}: ${error.message}`) : error);
      }
    };
    list.append(el("li", {}, el("button", { type: "button", onclick: press }, image, el("span", { title: name }, name))));
    return image;
  });
  node.hidden = false;
  // One after the other, those that are seen first.
  for (const [place, image] of images.entries()) {
    try {
      image.src = URL.createObjectURL(await (await fetched(`v1/page/pictures/${place}/small`)).blob());
    } catch (error) {
      // It cannot be read, and who presses it is told why.
      if (!(error instanceof Problem)) throw error;
    }
  }
}
