// Faults of the page that is shown, as sentences: names, labels, headings, ids, alternatives of pictures, contrast.
() => {
  const faults = [];
  const shown = (node) => node.checkVisibility({ checkOpacity: true, checkVisibilityCSS: true });
  const describe = (node) => `<${node.tagName.toLowerCase()} class="${node.getAttribute("class") ?? ""}"> ${node.textContent.trim().slice(0, 40)}`;

  const headings = [...document.querySelectorAll("h1")].filter(shown);
  if (headings.length !== 1) faults.push(`${headings.length} h1`);
  if (!document.documentElement.lang) faults.push("no language");
  if (!document.title) faults.push("no title");
  const ids = [...document.querySelectorAll("[id]")].map((node) => node.id);
  for (const id of new Set(ids)) if (ids.filter((one) => one === id).length > 1) faults.push(`id ${id} is not unique`);
  for (const node of document.querySelectorAll("[aria-labelledby], [aria-describedby]")) {
    for (const id of `${node.getAttribute("aria-labelledby") ?? ""} ${node.getAttribute("aria-describedby") ?? ""}`.trim().split(/\s+/)) {
      if (!document.getElementById(id)) faults.push(`${describe(node)}: there is no id ${id}`);
    }
  }

  const named = (node) => node.getAttribute("aria-label") || node.getAttribute("aria-labelledby") || node.title ||
    node.textContent.trim() || [...(node.labels ?? [])].some((label) => label.textContent.trim()) || node.getAttribute("alt");
  for (const node of document.querySelectorAll("a, button, input, select, textarea, video, canvas[role], [role=img], nav, dialog[open]")) {
    if (shown(node) && !node.closest("[aria-hidden=true]") && !named(node)) faults.push(`${describe(node)}: no name`);
  }
  for (const node of document.querySelectorAll("img")) {
    if (shown(node) && !node.hasAttribute("alt")) faults.push(`${node.src}: no alternative text`);
  }

  // Contrast by WCAG 2: 4.5, or 3 for large text. Text over pictures is left out: its background is not a colour.
  const paint = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  function rgba(colour) {
    paint.clearRect(0, 0, 1, 1);
    paint.fillStyle = colour;
    paint.fillRect(0, 0, 1, 1);
    const [red, green, blue, alpha] = paint.getImageData(0, 0, 1, 1).data;
    return [red, green, blue, alpha / 255];
  }
  const over = ([r, g, b, a], [red, green, blue]) => [r * a + red * (1 - a), g * a + green * (1 - a), b * a + blue * (1 - a)];
  const luminance = (colour) => {
    const [r, g, b] = colour.map((one) => (one / 255 <= 0.03928 ? one / 255 / 12.92 : ((one / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  function background(node) {
    const layers = [];
    for (let one = node; one; one = one.parentElement) {
      const style = getComputedStyle(one);
      if (style.backgroundImage !== "none") return null;
      layers.push(rgba(style.backgroundColor));
      if (layers.at(-1)[3] === 1) break;
    }
    const canvas = rgba(getComputedStyle(document.documentElement).backgroundColor);
    return layers.reverse().reduce((below, layer) => over(layer, below), canvas[3] ? canvas.slice(0, 3) : [255, 255, 255]);
  }
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const node = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || !shown(node) || node.closest("noscript, svg, option, [aria-hidden=true], :disabled, .picture-box")) continue;
    const behind = background(node);
    if (!behind) continue;
    const style = getComputedStyle(node);
    const [light, dark] = [luminance(over(rgba(style.color), behind)), luminance(behind)].sort((a, b) => b - a);
    const ratio = (light + 0.05) / (dark + 0.05);
    const size = parseFloat(style.fontSize);
    const needed = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700) ? 3 : 4.5;
    if (ratio < needed) faults.push(`${describe(node)}: contrast ${ratio.toFixed(2)} of ${style.color}`);
  }
  return faults;
}
