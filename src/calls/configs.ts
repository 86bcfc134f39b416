/** configs.describe, .alter: settings of the broker. */
import { OVERRIDE_LEVELS } from "../config/overrides.ts";
import { checkAlterable, type Setting, settingsOf } from "../config/settings.ts";
import type { BrokerConfigEntry, CallAnswer } from "../protocol/calls.ts";
import { ACL_OPERATION, CLUSTER_NAME } from "../security/acl.ts";
import type { DefaultValue } from "../topics/topic-defaults.ts";
import { mayUse } from "./access.ts";
import { type Arguments, invalid } from "./arguments.ts";
import type { AnswerMap, Caller } from "./caller.ts";

const SOURCES = {
	broker: "broker",
	cluster: "cluster",
	start: "start",
	"built-in": "default",
} as const satisfies Record<DefaultValue["source"], BrokerConfigEntry["source"]>;

export function describeConfigs({ host }: Caller): AnswerMap {
	const entries = settingsOf(host.overrides.live).map(entryOf);
	entries.sort((left, right) => (left.name < right.name ? -1 : 1));
	return { configs: entries.map(framed) } satisfies CallAnswer<"configs.describe">;
}

/** All changes are made or none, by the same store as those over Kafka's protocol. */
export async function alterConfigs(caller: Caller, parameters: Arguments): Promise<AnswerMap> {
	const { overrides } = caller.host;
	const level = parameters.choice("level", OVERRIDE_LEVELS);
	const changes = changesIn(parameters);
	if (parameters.boolean("validate_only", false)) overrides.check(level, () => changes);
	else await overrides.alter(level, () => changes);
	const isShown = mayUse(caller, "cluster", ACL_OPERATION.describeConfigs, CLUSTER_NAME);
	return isShown ? describeConfigs(caller) : { configs: [] };
}

function changesIn(parameters: Arguments): [name: string, value: string | null][] {
	const map = parameters.optionalMap("configs") ?? invalid("configs", "are missing");
	return Object.entries(map).map(([name, value]) => {
		// To take back what cannot be set is a mistake, too: most likely one of the name.
		checkAlterable(name);
		if (typeof value === "string" || value === null) return [name, value];
		return invalid(`configs ${name}`, "is neither a string nor nil");
	});
}

function entryOf(setting: Setting): BrokerConfigEntry {
	const { name, value, type, source, isAlterable, needsRestart, doc, values } = setting;
	return {
		name,
		value,
		type,
		source: SOURCES[source],
		read_only: !isAlterable,
		needs_restart: needsRestart,
		doc,
		values: values.map((each) => ({ ...each, source: SOURCES[each.source] })),
	};
}

/** As a value of a frame, which has no declared fields. */
function framed({ values, ...entry }: BrokerConfigEntry) {
	return { ...entry, values: values.map((value) => ({ ...value })) };
}
