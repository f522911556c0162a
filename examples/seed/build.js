const fs = require("node:fs");

fs.mkdirSync("dist", { recursive: true });
fs.copyFileSync("greet.js", "dist/greet.js");
console.log("built dist/greet.js");
