/**
 * Millrace beside a real Apache Kafka: both are asked the same, and must answer the same, but for
 * what differential/differences.json names with a reason. Where the tests are to run against
 * another Kafka (MILLRACE_TEST_KAFKA_BOOTSTRAP), a second Apache Kafka stands in Millrace's place,
 * and all APIs are compared: nothing may differ then.
 */
import { readFileSync } from "node:fs";
import { beforeAll, describe, expect, test } from "vitest";

import { connect } from "../../src/client/index.ts";
import { flagName } from "../../src/config/options.ts";
import type { ApiFacts } from "../../src/kafka/api.ts";
import { APIS } from "../../src/kafka/generated/apis.ts";
import { SERVED_APIS } from "../../src/kafka/handlers/table.ts";
import { atEndOfSuite, BrokerProcess, temporaryDirectory } from "../broker-process.ts";
import { MISSING_KAFKA_JAVA } from "../optional-parts.ts";
import { startApacheKafka } from "./apache-kafka.ts";
import { aclScenarios } from "./differential/acl-scenarios.ts";
import { adminScenarios, DEFAULTS_OF_BOTH } from "./differential/admin-scenarios.ts";
import { clusterScenarios } from "./differential/cluster-scenarios.ts";
import { consumerProtocolScenarios } from "./differential/consumer-protocol-scenarios.ts";
import { groupScenarios } from "./differential/group-scenarios.ts";
import { migrationScenarios } from "./differential/migration-scenarios.ts";
import { quotaScenarios } from "./differential/quota-scenarios.ts";
import { recordScenarios } from "./differential/record-scenarios.ts";
import {
	compare,
	type Difference,
	isKnown,
	type KnownDifference,
	type Scenario,
} from "./differential/scenario.ts";
import { type Answer, Session } from "./differential/session.ts";
import { createKafkaTopic, type Sides } from "./differential/sides.ts";
import { userScenarios } from "./differential/user-scenarios.ts";
import { EXTERNAL_BOOTSTRAP } from "./kafka-target.ts";

const differencesFile = new URL("differential/differences.json", import.meta.url);
const known: readonly KnownDifference[] = JSON.parse(readFileSync(differencesFile, "utf8"));
const used = new Set<KnownDifference>();

const KAFKA_DEFAULTS = Object.entries(DEFAULTS_OF_BOTH).map(([name, value]) => `${name}=${value}`);

/** Rules are followed, and none is there but those of scenarios. */
const AUTHORIZER = [
	"authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
	"allow.everyone.if.no.acl.found=true",
];

const comparesMillrace = EXTERNAL_BOOTSTRAP === undefined;

/** The APIs that are compared. */
const apis: readonly ApiFacts[] = comparesMillrace
	? [...SERVED_APIS.values()].map(({ facts }) => facts)
	: APIS;

const isCompared = (name: string): boolean => apis.some((api) => api.name === name);

const scenarios: readonly Scenario[] = [
	...recordScenarios,
	...clusterScenarios,
	...groupScenarios,
	...consumerProtocolScenarios,
	...migrationScenarios,
	...adminScenarios,
	...aclScenarios,
	...userScenarios,
	...quotaScenarios,
].filter(({ api, needs = [] }) => [api, ...needs].every(isCompared));

let sides: Sides | null = null;
const atEnd = atEndOfSuite();

beforeAll(async () => {
	// Kafka waits a second between two assignments of a group, Millrace only after long ones.
	const kafka = await startApacheKafka(atEnd, [
		"group.consumer.min.assignment.interval.ms=0",
		"group.consumer.assignment.interval.ms=0",
		...AUTHORIZER,
		...KAFKA_DEFAULTS,
	]);
	if (kafka === null) return;
	const theirs: Session = new Session(kafka, (...topic) => createKafkaTopic(theirs, ...topic));
	const ours = comparesMillrace ? await startMillrace() : await startSecondKafka();
	sides = { kafka: theirs, millrace: ours };
	atEnd(() => Promise.all([theirs.close(), ours.close()]).then(() => undefined));
});

async function startMillrace(): Promise<Session> {
	const { url, kafka } = await BrokerProcess.start({
		dataDir: temporaryDirectory(atEnd),
		flags: [
			...["--kafka", "127.0.0.1:0", "--group-initial-rebalance-delay-ms", "0"],
			...["--authorization-enable", "true", "--allow-everyone-if-no-acl-found", "true"],
		].concat(
			Object.entries(DEFAULTS_OF_BOTH).flatMap(([name, value]) => [
				`--${flagName({ name })}`,
				value,
			]),
		),
		atEnd,
	});
	const client = await connect(url);
	atEnd(() => client.close());
	return new Session(kafka as string, async (name, partitions, configs) => {
		await client.topics.create(name, { partitions, configs });
	});
}

async function startSecondKafka(): Promise<Session> {
	const bootstrap = (await startApacheKafka(atEnd, [...AUTHORIZER, ...KAFKA_DEFAULTS])) as string;
	const session: Session = new Session(bootstrap, (...topic) =>
		createKafkaTopic(session, ...topic),
	);
	return session;
}

/** The versions of a scenario's API, oldest first. */
function versionsOf({ api, from = 0, to = Number.MAX_SAFE_INTEGER }: Scenario): number[] {
	const { oldest, latest } = apis.find(({ name }) => name === api) as ApiFacts;
	const versions = Array.from({ length: latest - oldest + 1 }, (_, index) => oldest + index);
	return versions.filter((version) => version >= from && version <= to);
}

/** What both answered, and how that differs. */
interface Comparison {
	readonly millrace: readonly Answer[];
	readonly differences: readonly Difference[];
}

/** Has a session of its own do something. */
async function withSession<Result>(
	side: Session,
	work: (session: Session) => Promise<Result>,
): Promise<Result> {
	const session = side.another();
	try {
		return await work(session);
	} finally {
		await session.close();
	}
}

/** Whatever `it` prepares, for runs of it. */
async function prepare(it: Scenario, side: Session): Promise<unknown> {
	return withSession(side, async (session) => it.prepare?.(session));
}

/** What a scenario is answered in one version. */
function runVersion(
	it: Scenario,
	version: number,
	side: Session,
	context: unknown,
	groups: string,
): Promise<readonly Answer[]> {
	return withSession(side, async (session) => {
		session.start(`${it.api} v${version}, ${it.name}`);
		const id = `${groups}${it.api}-${it.name}-${version}`.toLowerCase();
		await it.run(session, version, id.replaceAll(/[^a-z0-9]+/g, "-"), context);
		return session.answers;
	});
}

/** As `Promise.all`, but all come to their end before one's failure is told. */
async function allEnded<Result>(running: readonly Promise<Result>[]): Promise<Result[]> {
	await Promise.allSettled(running);
	return Promise.all(running);
}

/** `groups`: the beginning of the ids, so that another run finds nothing that this one left. */
async function runScenario(
	it: Scenario,
	{ kafka, millrace }: Sides,
	contexts: readonly [kafka: unknown, millrace: unknown],
	groups: string,
): Promise<Comparison> {
	const versions = versionsOf(it);
	const run = async (side: Session, context: unknown) => {
		const ask = (version: number) => runVersion(it, version, side, context, groups);
		if (it.waits) return (await allEnded(versions.map(ask))).flat();
		const answers: Answer[] = [];
		for (const version of versions) answers.push(...(await ask(version)));
		return answers;
	};
	// So that neither goes on during the next scenario.
	const [theirs, ours] = await allEnded([run(kafka, contexts[0]), run(millrace, contexts[1])]);
	return { millrace: ours as Answer[], differences: compare(theirs as Answer[], ours as Answer[]) };
}

/** Those differences that nobody knows of. */
function unknownOf(differences: readonly Difference[]): Difference[] {
	return differences.filter((difference) => {
		const entry = comparesMillrace
			? known.find((candidate) => isKnown(difference, candidate))
			: undefined;
		if (entry !== undefined) used.add(entry);
		return entry === undefined;
	});
}

/**
 * The differences that are Millrace's. A timer of Kafka's may raise an epoch in the midst of a
 * scenario, so answers that differ are asked for again of both: those count that differ both times,
 * and those that Millrace did not answer as before.
 */
async function unknownDifferences(it: Scenario, both: Sides): Promise<Difference[]> {
	const contexts = [await prepare(it, both.kafka), await prepare(it, both.millrace)] as const;
	const first = await runScenario(it, both, contexts, "");
	const unknown = unknownOf(first.differences);
	if (unknown.length === 0) return unknown;
	const second = await runScenario(it, both, contexts, "again-");
	const again = unknownOf(second.differences);
	const own = compare(first.millrace, second.millrace);
	const isAmong = (differences: readonly Difference[], { label, path }: Difference) =>
		differences.some((other) => other.label === label && other.path === path);
	return [...unknown, ...again].filter(
		(difference) =>
			isAmong(own, difference) || (isAmong(unknown, difference) && isAmong(again, difference)),
	);
}

/** A line for each difference, with all versions that have it. */
function textsOf(differences: readonly Difference[]): string[] {
	const versions = new Map<string, Set<number>>();
	for (const { label, path, kafka, millrace } of differences) {
		const [, version, what] = /^\w+ v(-?\d+), (.*)$/.exec(label) ?? [];
		const answers = `Kafka ${JSON.stringify(kafka)}, Millrace ${JSON.stringify(millrace)}`;
		const text = `${what} ${path}: ${answers}`;
		versions.set(text, (versions.get(text) ?? new Set()).add(Number(version)));
	}
	return [...versions].map(([text, seen]) => `${text} in ${[...seen].join(" ")}`);
}

describe("the same is asked of Apache Kafka and of Millrace", () => {
	for (const isConcurrent of [true, false]) {
		const chosen = scenarios.filter(({ waits = false }) => waits === isConcurrent);
		test.for(chosen)("$api: $name", { concurrent: isConcurrent }, async (it, context) => {
			const both = sides ?? context.skip(MISSING_KAFKA_JAVA);
			const unknown = await unknownDifferences(it, both);
			context.expect(textsOf(unknown)).toEqual([]);
		});
	}

	test.for(apis)("$name in versions that nobody knows", async ({ name, latest }, context) => {
		const { kafka, millrace } = sides ?? context.skip(MISSING_KAFKA_JAVA);
		for (const version of [latest + 1, 99, -1]) {
			for (const session of [kafka, millrace]) {
				await session.close();
				session.start(`${name} v${version}, a version that nobody knows`);
				await session.askBytes(name, version, Buffer.alloc(20), "");
			}
			const differences = compare(kafka.answers, millrace.answers);
			if (name !== "ApiVersions") expect(textsOf(differences)).toEqual([]);
		}
	});

	test.runIf(comparesMillrace)("every API that is served is compared", () => {
		const compared = new Set(scenarios.map(({ api }) => api));
		expect(apis.map(({ name }) => name).filter((name) => !compared.has(name))).toEqual([]);
	});

	test.runIf(comparesMillrace)("every known difference is there", (context) => {
		if (sides === null) context.skip(MISSING_KAFKA_JAVA);
		expect(known.filter((difference) => !used.has(difference))).toEqual([]);
	});
});
