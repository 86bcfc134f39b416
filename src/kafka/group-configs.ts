/** The configuration of consumer groups (KIP-848) in the form in which DescribeConfigs tells it. */
import { OPTIONS } from "../config/options.ts";
import type { GroupConfigDescription } from "../groups/group-configs.ts";
import { CONFIG_SOURCE, type ConfigEntry, type ConfigSynonym } from "./config-entries.ts";
import type { Exchange } from "./exchange.ts";

/** The whole configuration of a group, by name. */
export function groupConfigs(groupId: string, { host }: Exchange): ConfigEntry[] {
	return host.groups.configs.describe(groupId).map((description) => {
		const option = synonymOf(description, host.config[description.option]);
		const { name, value, doc, isOverride } = description;
		const own: ConfigSynonym = { name, value, source: CONFIG_SOURCE.group };
		return {
			name,
			value,
			type: "INT",
			source: isOverride ? own.source : option.source,
			readOnly: false,
			documentation: doc,
			synonyms: isOverride ? [own, option] : [option],
		};
	});
}

/** The broker's option that groups follow which have no value of their own. */
function synonymOf({ option }: GroupConfigDescription, value: unknown): ConfigSynonym {
	const { name, default: defaultValue } = OPTIONS[option];
	const text = String(value);
	const source = text === defaultValue ? CONFIG_SOURCE.default : CONFIG_SOURCE.staticBroker;
	return { name, value: text, source };
}
