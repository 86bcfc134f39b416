/**
 * Changes of configurations, as AlterConfigs and IncrementalAlterConfigs ask for them: one resource
 * after the other, each with an error of its own.
 */
import { MillraceError } from "../errors.ts";
import type { GroupOverrides } from "../groups/group-configs.ts";
import { CODES } from "../protocol/codes.ts";
import { effectiveValue, type TopicOverrides } from "../topics/configuration.ts";
import { CONFIGURATION } from "../topics/configuration-table.ts";
import { checkTopicName } from "../topics/names.ts";
import type { TopicDefaults } from "../topics/topic-defaults.ts";
import { type Failure, failed, reportedFailure } from "./codes.ts";
import { RESOURCE } from "./config-entries.ts";
import { checkBrokerName, type Resource, unknownType } from "./config-resources.ts";
import type { Exchange } from "./exchange.ts";
import { checkNamedCount, repeatedIn } from "./requests.ts";
import { Turns } from "./turns.ts";

/** What is done with a setting, by Kafka's numbers. */
export const CONFIG_OPERATION = { set: 0, delete: 1, append: 2, subtract: 3 } as const;

export interface ConfigChange {
	readonly name: string;
	/** One of CONFIG_OPERATION. */
	readonly configOperation: number;
	readonly value: string | null;
}

/** What is asked of one resource. */
export interface ResourceChange extends Resource {
	readonly configs: readonly ConfigChange[];
	/** What is not among `configs` goes back to its default. */
	readonly replacesAll: boolean;
}

interface ResourceOutcome extends Resource, Failure {}

const DONE: Failure = { errorCode: CODES.NONE.code, errorMessage: null };

/** Makes the changes, or with `validateOnly` tells what would be refused. */
export async function alterResources(
	changes: readonly ResourceChange[],
	validateOnly: boolean,
	exchange: Exchange,
): Promise<ResourceOutcome[]> {
	checkNamedCount(changes.length);
	const keyOf = ({ resourceType, resourceName }: Resource) => `${resourceType} ${resourceName}`;
	const repeated = repeatedIn(changes.map(keyOf));
	const turns = new Turns(exchange.host.clock);
	const outcomes: ResourceOutcome[] = [];
	for (const change of changes) {
		const { resourceType, resourceName } = change;
		const outcome = repeated.has(keyOf(change))
			? failed("INVALID_REQUEST", "the request has this resource twice")
			: await alter(change, validateOnly, exchange);
		outcomes.push({ ...outcome, resourceType, resourceName });
		await turns.pause();
	}
	return outcomes;
}

async function alter(
	change: ResourceChange,
	validateOnly: boolean,
	exchange: Exchange,
): Promise<Failure> {
	try {
		checkForm(change.configs);
		switch (change.resourceType) {
			case RESOURCE.topic:
				await alterTopic(change, validateOnly, exchange);
				break;
			case RESOURCE.group:
				await alterGroup(change, validateOnly, exchange);
				break;
			default:
				checkUnalterable(change, exchange);
		}
		return DONE;
	} catch (error) {
		return reportedFailure(error, exchange);
	}
}

/** Throws INVALID_REQUEST for what no resource takes. */
function checkForm(configs: readonly ConfigChange[]): void {
	const [repeated] = repeatedIn(configs.map(({ name }) => name));
	if (repeated !== undefined) throw invalid(`the request has ${shown(repeated)} twice`);
	const operations: readonly number[] = Object.values(CONFIG_OPERATION);
	for (const { name, configOperation, value } of configs) {
		if (!operations.includes(configOperation))
			throw invalid(`there is no operation ${configOperation}`);
		if (value === null && configOperation !== CONFIG_OPERATION.delete) {
			throw invalid(`${shown(name)} is null`);
		}
	}
}

async function alterTopic(
	{ resourceName, configs, replacesAll }: ResourceChange,
	validateOnly: boolean,
	{ host: { catalogue } }: Exchange,
): Promise<void> {
	if (resourceName === "") throw invalid("topics have no defaults that can be set");
	checkTopicName(resourceName);
	const config = (present: TopicOverrides) => {
		const changes = overrideChanges(present, configs, (...list) =>
			changedList(catalogue.defaults, ...list),
		);
		return replacesAll ? replacement(present, changes) : changes;
	};
	if (validateOnly) catalogue.checkAlteration(resourceName, { config });
	else await catalogue.alter(resourceName, { config });
}

async function alterGroup(
	{ resourceName, configs, replacesAll }: ResourceChange,
	validateOnly: boolean,
	{ host }: Exchange,
): Promise<void> {
	if (resourceName === "") throw invalid("groups have no defaults that can be set");
	const change = (present: GroupOverrides) => {
		const changes = overrideChanges(present, configs, (_, name) => {
			throw noList(name);
		});
		return replacesAll ? replacement(present, changes) : changes;
	};
	if (validateOnly) host.groups.configs.check(resourceName, change);
	else await host.groups.configs.alter(resourceName, change);
}

/** What a topic or a group sets itself. */
type Overrides = ReadonlyMap<string, string>;
type OverrideChange = readonly [name: string, value: string | null];

/** Makes a list longer or shorter by one of CONFIG_OPERATION. */
type ListChange = (
	present: Overrides,
	name: string,
	configOperation: number,
	value: string,
) => string;

/** Changes of a resource's own settings. `change` tells a list that is to grow or shrink. */
function overrideChanges(
	present: Overrides,
	configs: readonly ConfigChange[],
	change: ListChange,
): OverrideChange[] {
	const changes: OverrideChange[] = [];
	for (const { name, configOperation, value } of configs) {
		if (configOperation === CONFIG_OPERATION.delete) {
			// What nobody can set is not set: Kafka has it so, and tools clear names of older versions.
			if (present.has(name)) changes.push([name, null]);
		} else if (configOperation === CONFIG_OPERATION.set) {
			changes.push([name, value]);
		} else {
			changes.push([name, change(present, name, configOperation, value ?? "")]);
		}
	}
	return changes;
}

/**
 * A list of a topic with elements added or taken away, in the order in which they were. Throws
 * INVALID_CONFIG.
 */
function changedList(
	defaults: TopicDefaults,
	present: Overrides,
	name: string,
	configOperation: number,
	value: string,
): string {
	const entry = CONFIGURATION.get(name);
	if (entry === undefined || entry.class === "refused" || entry.type !== "LIST") {
		throw noList(name);
	}
	const elements = new Set(elementsOf(effectiveValue(present, name, defaults)));
	for (const element of elementsOf(value)) {
		if (configOperation === CONFIG_OPERATION.append) elements.add(element);
		else elements.delete(element);
	}
	return [...elements].join(",");
}

function elementsOf(list: string): string[] {
	return list
		.split(",")
		.map((element) => element.trim())
		.filter((element) => element !== "");
}

/** The changes after which a resource has these settings and no others. */
function replacement(present: Overrides, changes: readonly OverrideChange[]): OverrideChange[] {
	const resets = [...present.keys()].map((name): OverrideChange => [name, null]);
	return [...resets, ...changes];
}

/** Throws INVALID_REQUEST for what would change something: other resources cannot be altered. */
function checkUnalterable(
	{ resourceType, resourceName, configs, replacesAll }: ResourceChange,
	exchange: Exchange,
) {
	switch (resourceType) {
		case RESOURCE.broker: {
			if (resourceName !== "") checkBrokerName(resourceName, exchange);
			const names = namesSet(configs);
			if (names.length === 0) return;
			throw invalid(`options of the broker cannot be changed while it runs: ${names.join(", ")}`);
		}
		case RESOURCE.brokerLogger: {
			if (replacesAll) throw unknownType(resourceType);
			checkBrokerName(resourceName, exchange);
			const [name] = namesSet(configs);
			if (name !== undefined)
				throw new MillraceError("INVALID_CONFIG", `there is no logger ${name}`);
			return;
		}
		default:
			throw unknownType(resourceType);
	}
}

/** The names to which a value would be given, as they can be shown. */
function namesSet(configs: readonly ConfigChange[]): string[] {
	return configs
		.filter(({ configOperation }) => configOperation !== CONFIG_OPERATION.delete)
		.slice(0, NAMES_SHOWN_MAX)
		.map(({ name }) => shown(name));
}

/** What clients make up goes back to them in messages, but not whole. */
const NAMES_SHOWN_MAX = 20;
const shown = (name: string) => (name.length > 100 ? `${name.slice(0, 100)}...` : name);

function noList(name: string): MillraceError {
	return new MillraceError("INVALID_CONFIG", `${shown(name)} is no list`);
}

function invalid(particular: string): MillraceError {
	return new MillraceError("INVALID_REQUEST", particular);
}
