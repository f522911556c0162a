// Checks workflow files with the language service that editors use, against docs/schemas/workflow.json.
//
// usage: node check_yaml_schema.cjs MODULES SCHEMA accept|refuse FILE…
// Exit status 1 if a file is judged otherwise; the problems of each are printed.
const fs = require('fs');
const path = require('path');
const [modules, schemaFile, wanted, ...files] = process.argv.slice(2);
const { getLanguageService } = require(path.resolve(modules, 'yaml-language-server'));
const { TextDocument } = require(require.resolve('vscode-languageserver-textdocument', { paths: [modules] }));
const schema = JSON.parse(fs.readFileSync(schemaFile, 'utf8'));
const quiet = { send() {}, sendError() {}, sendTrack() {}, log() {}, error() {}, console: { log() {}, error() {} } };
const service = getLanguageService({
  schemaRequestService: async () => JSON.stringify(schema),
  workspaceContext: { resolveRelativePath: (name) => name },
  telemetry: quiet,
  yamlSettings: undefined,
});
service.configure({
  validate: true, customTags: [], completion: true, hover: true, format: false, isKubernetes: false,
  schemas: [{ uri: 'file:///workflow.json', fileMatch: ['*'], schema }],
});
(async () => {
  let failed = 0;
  for (const file of files) {
    const text = fs.readFileSync(file, 'utf8').replace(/^# yaml-language-server.*\n/, '\n');
    const document = TextDocument.create('file:///x/' + path.basename(file), 'yaml', 0, text);
    const found = await service.doValidation(document, false);
    const refused = found.length > 0;
    if (refused !== (wanted === 'refuse')) {
      failed = 1;
      console.log(`${file}: ${refused ? 'refused' : 'accepted'}`);
      found.slice(0, 5).forEach((problem) => console.log(`  ${problem.range.start.line + 1}: ${problem.message}`));
    }
  }
  process.exit(failed);
})();
