const test = require("node:test");
const assert = require("node:assert");
const { format } = require("../src/dates");

test("a date is written in UTC, whatever the zone", () => {
  assert.strictEqual(format(new Date(Date.UTC(2026, 0, 31, 23, 59))), "2026-01-31");
});
