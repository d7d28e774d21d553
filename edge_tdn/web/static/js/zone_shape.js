// The shape of a zone that is drawn: corners as [x, y], shares of the picture. Pure.

const SMALLEST = 0.02; // of a rectangle's sides
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

/** Return the four corners of a rectangle, clockwise from the top left, with sides of at least SMALLEST. */
export function rectangle(left, top, right, bottom) {
  const wide = Math.max(right, Math.min(left + SMALLEST, 1));
  const high = Math.max(bottom, Math.min(top + SMALLEST, 1));
  const from = [Math.min(left, wide - SMALLEST), Math.min(top, high - SMALLEST)];
  return [from, [wide, from[1]], [wide, high], [from[0], high]];
}

/** Return left, top, right and bottom of the corners. */
export function bounds(corners) {
  const [xs, ys] = [corners.map(([x]) => x), corners.map(([, y]) => y)];
  return [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)];
}

/** Return the corners of a zone of the configuration. */
export function cornersOf({ region, polygon }) {
  if (polygon?.length) return polygon;
  const [left, top, width, height] = region;
  return rectangle(left, top, left + width, top + height);
}

/** Return the corners with one more, between the two whose side is nearest to it. */
export function insert(corners, at) {
  const detours = corners.map((corner, number) => {
    const next = corners[(number + 1) % corners.length];
    return distance(corner, at) + distance(at, next) - distance(corner, next);
  });
  const side = detours.indexOf(Math.min(...detours));
  return [...corners.slice(0, side + 1), at, ...corners.slice(side + 1)];
}

function distance(a, b) {
  return Math.hypot(a[0] - b[0], a[1] - b[1]);
}

/** Return a share of the picture: a number from 0 to 1. */
export function share(value) {
  return Number.isFinite(value) ? Math.min(Math.max(value, 0), 1) : 0;
}

/** Return why a zone cannot be like that, or "". The daemon checks it again: this saves it a request. */
export function faultOf(name, corners) {
  if (!NAME.test(name)) return "A name has letters, digits, dots, dashes and underscores; a letter or digit is first.";
  const sides = corners.map((corner, number) => [corner, corners[(number + 1) % corners.length]]);
  const crossing = sides.some((one, first) =>
    sides.some((other, second) => {
      const apart = Math.min(Math.abs(first - second), sides.length - Math.abs(first - second));
      return apart > 1 && cross(...one, ...other);
    }),
  );
  return crossing ? "Two sides cross. Drag a corner until they do not." : "";
}

function turn(a, b, c) {
  return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]);
}

function cross(a, b, c, d) {
  return turn(a, b, c) * turn(a, b, d) <= 0 && turn(c, d, a) * turn(c, d, b) <= 0;
}
