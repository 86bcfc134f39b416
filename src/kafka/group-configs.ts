/**
 * What Kafka's tools are told of the configuration of consumer groups (KIP-848): what members are
 * given, the same for every group. No group can have values of its own in this version.
 */
import { CONFIG_SOURCE, type ConfigEntry } from "./config-entries.ts";

const DEFAULTS: readonly {
	readonly name: string;
	readonly value: string;
	readonly documentation: string;
}[] = [
	{
		name: "consumer.heartbeat.interval.ms",
		value: "5000",
		documentation: "How often members of the group report, in milliseconds.",
	},
	{
		name: "consumer.session.timeout.ms",
		value: "45000",
		documentation: "Silence after which a member is taken out of the group, in milliseconds.",
	},
];

export function groupConfigs(): ConfigEntry[] {
	return DEFAULTS.map(({ name, value, documentation }) => ({
		name,
		value,
		type: "INT",
		source: CONFIG_SOURCE.default,
		readOnly: true,
		documentation,
		synonyms: [{ name: `group.${name}`, value, source: CONFIG_SOURCE.default }],
	}));
}
