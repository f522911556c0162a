exports.format = (date) => date.toISOString().slice(0, 10);
exports.parse = (text) => new Date(`${text}T00:00:00Z`);
