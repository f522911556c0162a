const test = require("node:test");
const assert = require("node:assert");
const { format, parse } = require("../src/dates");

test("what is parsed is written back", () => {
  assert.strictEqual(format(parse("2026-11-21")), "2026-11-21");
});
