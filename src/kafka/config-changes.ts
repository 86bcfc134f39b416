/**
 * Changes of configurations, as AlterConfigs and IncrementalAlterConfigs ask for them: one resource
 * after the other, each with an error of its own.
 */
import { alterable } from "../config/settings.ts";
import { MillraceError } from "../errors.ts";
import type { GroupOverrides } from "../groups/group-configs.ts";
import { CODES } from "../protocol/codes.ts";
import { effectiveValue, type TopicOverrides } from "../topics/configuration.ts";
import { CONFIGURATION } from "../topics/configuration-table.ts";
import { checkTopicName } from "../topics/names.ts";
import { DEFAULT_OPTIONS, type TopicDefaults } from "../topics/topic-defaults.ts";
import { type Failure, failed, reportedFailure } from "./codes.ts";
import { RESOURCE } from "./config-entries.ts";
import {
	checkBrokerName,
	checkConfigAccess,
	type Resource,
	unknownType,
} from "./config-resources.ts";
import type { Exchange } from "./exchange.ts";
import { levelOf, loggerOf } from "./logger-configs.ts";
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
		checkConfigAccess(change, exchange);
		checkForm(change.configs);
		switch (change.resourceType) {
			case RESOURCE.topic:
				await alterTopic(change, validateOnly, exchange);
				break;
			case RESOURCE.group:
				await alterGroup(change, validateOnly, exchange);
				break;
			case RESOURCE.broker:
				await alterBroker(change, validateOnly, exchange);
				break;
			case RESOURCE.brokerLogger:
				alterLoggers(change, validateOnly, exchange);
				break;
			default:
				throw unknownType(change.resourceType);
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

/** Without a number it is about all brokers. */
async function alterBroker(
	{ resourceName, configs, replacesAll }: ResourceChange,
	validateOnly: boolean,
	exchange: Exchange,
): Promise<void> {
	if (resourceName !== "") checkBrokerName(resourceName, exchange);
	const unalterable = namesSet(configs, (name) => alterable(name) === undefined);
	if (unalterable.length > 0) {
		throw invalid(`cannot be changed while the broker runs: ${unalterable.join(", ")}`);
	}
	const { overrides } = exchange.host;
	const change = (present: Overrides) => {
		const changes = overrideChanges(present, configs, (_, name, configOperation, value) => {
			const option = DEFAULT_OPTIONS.get(name);
			if (option?.type !== "LIST") throw noList(name);
			// As in Kafka from what this level sets itself, whatever is in force by another.
			const own = present.get(name) ?? option.default ?? "";
			return combinedList(own, configOperation, value);
		});
		return replacesAll ? replacement(present, changes) : changes;
	};
	const level = resourceName === "" ? "cluster" : "broker";
	if (validateOnly) overrides.check(level, change);
	else await overrides.alter(level, change);
}

/** What a topic, a group or the broker sets itself. */
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
	return combinedList(effectiveValue(present, name, defaults), configOperation, value);
}

/** A list with elements added or taken away, in the order in which they were. */
function combinedList(list: string, configOperation: number, value: string): string {
	const elements = new Set(elementsOf(list));
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

/** Levels of loggers: all of them are changed or none. */
function alterLoggers(
	{ resourceType, resourceName, configs, replacesAll }: ResourceChange,
	validateOnly: boolean,
	exchange: Exchange,
): void {
	if (replacesAll) throw unknownType(resourceType);
	checkBrokerName(resourceName, exchange);
	const changes = configs.map(({ name, configOperation, value }) => {
		const logger = loggerOf(name);
		if (configOperation === CONFIG_OPERATION.delete) return [logger, null] as const;
		if (configOperation !== CONFIG_OPERATION.set) throw invalid(`the level of ${name} is no list`);
		return [logger, levelOf(value ?? "")] as const;
	});
	if (!validateOnly) exchange.host.logs.set(changes);
}

/** The names to which a value would be given and that `isMeant`, as they can be shown. */
function namesSet(configs: readonly ConfigChange[], isMeant: (name: string) => boolean): string[] {
	return configs
		.filter(
			({ name, configOperation }) => configOperation !== CONFIG_OPERATION.delete && isMeant(name),
		)
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
