// The scores of the last five minutes of one place: what was loaded, and what has come since. No drawing.

export const SECONDS = 300;
const BREAK_MS = 5000; // without a clip: a gap in the lines
const SLACK = 64; // rows that may be too old before they are dropped

export class ScoreHistory {
  constructor() {
    this.actions = [];
    this.atMs = [];
    this.highest = []; // of each action, or null
    this.scores = []; // one array an action; null: a break; undefined: not among the highest of its clip
  }

  /** Take the answer of GET /api/camera/{c}/scores in place of what is here. */
  load(table) {
    this.actions = [...table.actions];
    this.atMs = [...table.at_ms];
    this.scores = table.scores.map((row) => [...row]);
    this.highest = this.scores.map(highestOf);
  }

  /** Take the scores of one clip. Return true if an action has come that was not here before. */
  add(clip) {
    const at = Date.parse(clip.at);
    if (at <= (this.atMs.at(-1) ?? 0)) return false;
    const unknown = Object.keys(clip.scores).filter((action) => !this.actions.includes(action));
    for (const action of unknown) {
      this.actions.push(action);
      this.scores.push(new Array(this.atMs.length).fill(undefined));
      this.highest.push(null);
    }
    if (at - (this.atMs.at(-1) ?? at) > BREAK_MS) {
      this.atMs.push(this.atMs.at(-1) + 1);
      for (const row of this.scores) row.push(null);
    }
    this.atMs.push(at);
    this.actions.forEach((action, index) => {
      const score = clip.scores[action];
      this.scores[index].push(score);
      if (score !== undefined) this.highest[index] = Math.max(this.highest[index] ?? 0, score);
    });
    this.#drop(at - SECONDS * 1000);
    return unknown.length > 0;
  }

  /** Return how many seconds it covers. */
  get seconds() {
    return this.atMs.length ? (this.atMs.at(-1) - this.atMs[0]) / 1000 : 0;
  }

  /** Return the newest known score of an action, or null. */
  newest(index) {
    return this.scores[index]?.at(-1) ?? null;
  }

  /** Return the indices of the actions with the highest peaks, at most `count`, in the order of the actions. */
  strongest(count, always) {
    const peaks = this.actions.map((action, index) => [action === always ? 2 : (this.highest[index] ?? 0), index]);
    return peaks
      .sort(([one], [other]) => other - one)
      .slice(0, count)
      .map(([, index]) => index)
      .sort((a, b) => a - b);
  }

  #drop(beforeMs) {
    const kept = this.atMs.findIndex((at) => at >= beforeMs);
    if (kept < SLACK) return;
    this.atMs.splice(0, kept);
    for (const row of this.scores) row.splice(0, kept);
    this.highest = this.scores.map(highestOf);
  }
}

function highestOf(row) {
  return row.reduce((highest, score) => (score ?? -1) > (highest ?? -1) ? score : highest, null);
}
