const assert = require("node:assert");
const test = require("node:test");
const price = (cents) => (cents / 100).toFixed(2);

test("prices have two digits", () => assert.equal(price(1999), "19.99"));
test("nothing costs nothing", () => assert.equal(price(0), "0.00"));
