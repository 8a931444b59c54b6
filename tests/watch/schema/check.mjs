// Writes the dashboards as TypeScript that compiles only if it follows Grafana's types: see check.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";

const [from, to, schema] = process.argv.slice(2);
const panels = ["bargauge", "heatmap", "stat", "statetimeline", "table", "timeseries"];
const imports = panels.map((name) => `import type * as ${name} from "${schema}/composable/${name}/panelcfg/x/types.gen";`);

for (const file of readdirSync(from).filter((name) => name.endsWith(".json"))) {
  const board = JSON.parse(readFileSync(`${from}/${file}`, "utf8"));
  const checks = board.panels.filter((panel) => panel.type !== "row").flatMap((panel) => {
    const type = panel.type.replace("-", "");
    const check = (value, is) => `(${JSON.stringify(value)}) satisfies Words<${is}>; // ${panel.title}`;
    return [
      check(panel.options, `Partial<${type}.Options>`),
      ...(panel.fieldConfig.defaults.custom ? [check(panel.fieldConfig.defaults.custom, `Partial<${type}.FieldConfig>`)] : []),
    ];
  });
  // What a data source adds to an annotation is not in the types.
  for (const annotation of board.annotations.list) {
    for (const key of ["expr", "step", "titleFormat", "textFormat", "useValueForTime"]) delete annotation[key];
  }
  writeFileSync(`${to}/${file.replace(".json", ".ts")}`, `
import type { Dashboard } from "${schema}/dashboard/x/types.gen";
${imports.join("\n")}

// An enum's members are its words: JSON has nothing else.
type Words<T> = T extends string ? \`\${T}\` : T extends number | boolean | null | undefined ? T
  : T extends readonly (infer Item)[] ? readonly Words<Item>[] : { [Key in keyof T]: Words<T[Key]> };

(${JSON.stringify(board)}) satisfies Words<Partial<Dashboard>>;
${checks.join("\n")}
`);
}
