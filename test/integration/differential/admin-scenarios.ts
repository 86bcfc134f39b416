/** Topics, partitions, configuration and records, as administrators change them. */
import { DEFAULT_OPTIONS } from "../../../src/topics/topic-defaults.ts";
import type { Fields } from "../../kafka/client-codec.ts";
import { pick } from "../../kafka/pick.ts";
import { batch } from "./batches.ts";
import { unknownTopic } from "./record-scenarios.ts";
import { type Scenario, scenario } from "./scenario.ts";
import type { Session } from "./session.ts";

const TOPIC = 2;
const BROKER = 4;
const GROUP = 32;
const SET = 0;
const DELETE = 1;
const APPEND = 2;
const SUBTRACT = 3;

const UNKNOWN_ID = unknownTopic.topicId;
const NIL_ID = "00000000-0000-0000-0000-000000000000";

type Configs = Readonly<Record<string, string | null>>;

const entries = (configs: Configs): Fields[] =>
	Object.entries(configs).map(([name, value]) => ({ name, value }));

function topicRequest(name: string, more: Fields = {}, configs: Configs = {}): Fields {
	const defaults = { name, numPartitions: 1, replicationFactor: 1, assignments: [] };
	return { ...defaults, configs: entries(configs), ...more };
}

const createScenarios: Scenario[] = [
	scenario({
		api: "CreateTopics",
		name: "topics",
		async run(session, version, id) {
			const create = (label: string, topics: Fields[], more: Fields = {}) =>
				session.ask("CreateTopics", version, { topics, timeoutMs: 120_000, ...more }, label);
			// Kafka tells all configuration; what differs there is told of DescribeConfigs.
			const createPlain = async (label: string, topic: Fields, more: Fields = {}) => {
				const asked = { topics: [topic], timeoutMs: 120_000, ...more };
				const answer = await session.prepare("CreateTopics", version, asked);
				const [first] = answer.topics as readonly Fields[];
				const { configs, ...rest } = first as Fields;
				const own = (configs as readonly Fields[] | undefined)?.filter(
					({ configSource }) => configSource === 1,
				);
				const topics = [{ ...rest, configs: own ?? null }];
				session.note(label, session.mask({ ...answer, topics }));
				const defaults = (configs as readonly Fields[] | undefined)?.filter(({ name }) =>
					SETTINGS_WITH_DEFAULTS.includes(name as string),
				);
				const sources = defaults?.map(
					({ name, value, configSource }) => `${name}=${value} ${configSource}`,
				);
				session.note(`${label}, defaults`, { sources: sources?.sort() ?? null });
			};
			await createPlain("one", topicRequest(`${id}-one`, { numPartitions: 3 }));
			await createPlain("configured", topicRequest(`${id}-set`, {}, { "retention.ms": "1000" }));
			await createPlain("only checked", topicRequest(`${id}-checked`), { validateOnly: true });
			if (version >= 4) {
				const defaults = { numPartitions: -1, replicationFactor: -1 };
				await createPlain("of default size", topicRequest(`${id}-default`, defaults));
			}
			await create("again", [topicRequest(`${id}-one`)]);
			await create("again, only checked", [topicRequest(`${id}-one`)], { validateOnly: true });
			const wrong = topicRequest(`${id}-one`, { replicationFactor: 3 }, { nonsense: "1" });
			await create("again, and wrong", [wrong]);
			await create("twice in a request", [topicRequest(`${id}-two`), topicRequest(`${id}-two`)]);
			for (const name of ["", ".", "..", "not a name", "x".repeat(250)]) {
				await create(`named ${name.slice(0, 20)}`, [topicRequest(name)]);
			}
			await create("no partitions", [topicRequest(`${id}-none`, { numPartitions: 0 })]);
			await create("two replicas", [topicRequest(`${id}-replicas`, { replicationFactor: 2 })]);
			await create("no replicas", [topicRequest(`${id}-alone`, { replicationFactor: 0 })]);
			await create("no topics", []);
			await create("no time", [topicRequest(`${id}-late`)], { timeoutMs: 0 });
			const half = (name: string) => topicRequest(name, { numPartitions: 6_000 });
			const tooMuch = [half(`${id}-half`), half(`${id}-other-half`)];
			await create("too many partitions", tooMuch, { validateOnly: true });
			await create("the metadata", [topicRequest("__cluster_metadata")], { validateOnly: true });
		},
	}),
	scenario({
		api: "CreateTopics",
		name: "configuration that is refused",
		async run(session, version, id) {
			const create = (configs: Configs) => {
				const topics = [topicRequest(`${id}-odd`, {}, configs)];
				const asked = { topics, timeoutMs: 120_000, validateOnly: true };
				return session.ask("CreateTopics", version, asked, JSON.stringify(configs));
			};
			await create({ nonsense: "1" });
			await create({ "retention.ms": "soon" });
			await create({ "retention.ms": "-2" });
			await create({ "cleanup.policy": "burn" });
			await create({ "segment.bytes": "1" });
			await create({ "min.cleanable.dirty.ratio": "2" });
			await create({ "compression.type": "rar" });
			await create({ "max.message.bytes": "-1" });
			await create({ "retention.ms": null });
			await create({ "remote.storage.enable": "true" });
			await create({ "min.compaction.lag.ms": "6", "max.compaction.lag.ms": "5" });
		},
	}),
	scenario({
		api: "CreateTopics",
		name: "assignments",
		async run(session, version, id) {
			const { brokers } = await session.prepare("Metadata", 12, { topics: [] });
			const broker = ((brokers as readonly Fields[])[0] as Fields).nodeId as number;
			const create = (label: string, assignments: Fields[], more: Fields = {}) => {
				const unset = { numPartitions: -1, replicationFactor: -1, assignments };
				const topics = [topicRequest(`${id}-${label.replaceAll(" ", "-")}`, { ...unset, ...more })];
				const asked = { topics, timeoutMs: 120_000, validateOnly: true };
				return session.ask("CreateTopics", version, asked, label);
			};
			const to = (partitionIndex: number, ...brokerIds: number[]) => ({
				partitionIndex,
				brokerIds,
			});
			await create("an unknown broker", [to(0, broker + 1_000)]);
			await create("a hole", [to(0, broker), to(2, broker)]);
			await create("the same twice", [to(0, broker, broker)]);
			await create("nobody", [to(0)]);
			await create("and a size", [to(0, broker)], { numPartitions: 1 });
			await create("and replicas", [to(0, broker)], { replicationFactor: 1 });
			await create("one twice", [to(0, broker), to(0, broker)]);
			await create("a negative one", [to(-1, broker)]);
		},
	}),
	scenario({
		api: "DeleteTopics",
		name: "topics",
		async run(session, version, id) {
			const { name, topicId } = await session.topic(`${id}-one`);
			const remove = (label: string, names: string[]) => {
				const topics = names.map((each) => ({ name: each, topicId: NIL_ID }));
				const asked = version < 6 ? { topicNames: names } : { topics };
				return session.ask("DeleteTopics", version, { ...asked, timeoutMs: 120_000 }, label);
			};
			await remove("one", [name]);
			await remove("again", [name]);
			await remove("an illegal name", ["not a name"]);
			await remove("none", []);
			const kept = await session.topic(`${id}-kept`);
			await remove("twice", [kept.name, kept.name]);
			if (version < 6) return;
			const removeById = (label: string, topic: Fields) =>
				session.ask("DeleteTopics", version, { topics: [topic], timeoutMs: 120_000 }, label);
			await removeById("an id that was", { name: null, topicId });
			await removeById("an unknown id", { name: null, topicId: UNKNOWN_ID });
			const other = await session.topic(`${id}-two`);
			await removeById("by id", { name: null, topicId: other.topicId });
			await removeById("neither", { name: null, topicId: NIL_ID });
			await removeById("both", kept as unknown as Fields);
			const { name: keptName, topicId: keptId } = kept;
			const numbered = { name: null, topicId: keptId };
			const named = { name: keptName, topicId: NIL_ID };
			const removeAll = (label: string, topics: Fields[], timeoutMs = 120_000) =>
				session.ask("DeleteTopics", version, { topics, timeoutMs }, label);
			await removeAll("an id twice", [numbered, numbered]);
			await removeAll("by name and by id", [named, numbered]);
			await removeAll("without time", [named], 0);
		},
	}),
	scenario({
		api: "CreatePartitions",
		name: "topics",
		async run(session, version, id) {
			const { name } = await session.topic(id, 2);
			const grow = (label: string, topic: Fields, more: Fields = {}) => {
				const topics = [{ name, count: 3, assignments: null, ...topic }];
				const asked = { topics, timeoutMs: 120_000, validateOnly: false, ...more };
				return session.ask("CreatePartitions", version, asked, label);
			};
			await grow("only checked", {}, { validateOnly: true });
			await grow("to three", {});
			await grow("to as many", {});
			await grow("to fewer", { count: 1 });
			await grow("to none", { count: 0 });
			await grow("to a negative number", { count: -1 });
			await grow("an unknown topic", { name: "unknown" });
			await grow("to an unknown broker", { count: 4, assignments: [{ brokerIds: [9_999] }] });
			await grow("with too many assignments", {
				count: 4,
				assignments: [{ brokerIds: [1] }, { brokerIds: [1] }],
			});
			await grow("without the assignments", { count: 5, assignments: [] });
			const twice = { name, count: 6, assignments: null };
			const asked = { topics: [twice, twice], timeoutMs: 120_000, validateOnly: true };
			await session.ask("CreatePartitions", version, asked, "twice");
			await grow("without time", { count: 9 }, { timeoutMs: 0 });
		},
	}),
	scenario({
		api: "DeleteRecords",
		name: "offsets",
		async run(session, version, id) {
			const topic = await session.topic(id);
			await session.append(topic, [batch(["a", "b"]), batch(["c", "d", "e"])]);
			const cut = (label: string, offset: number, name = topic.name, partitionIndex = 0) => {
				const topics = [{ name, partitions: [{ partitionIndex, offset }] }];
				return session.ask("DeleteRecords", version, { topics, timeoutMs: 120_000 }, label);
			};
			await cut("in the middle of a batch", 3);
			await cut("earlier than that", 1);
			await cut("behind the end", 6);
			await cut("a negative one", -2);
			await cut("to the end", -1);
			await cut("at the end", 5);
			await cut("a partition that is not there", 0, topic.name, 7);
			await cut("an unknown topic", 0, "unknown");
			const compacted = await session.topic(`${id}-keyed`, 1, { "cleanup.policy": "compact" });
			await cut("a compacted topic", 0, compacted.name);
		},
	}),
];

/** Each setting by itself, so that a report names it. */
function noteConfigs(session: Session, label: string, answer: Fields): void {
	for (const result of answer.results as readonly Fields[]) {
		const { configs, ...rest } = result;
		session.note(label, session.mask(rest));
		const sorted = [...(configs as readonly Fields[])];
		sorted.sort((left, right) => (String(left.name) < String(right.name) ? -1 : 1));
		for (const config of sorted) session.note(`${label} ${config.name}`, session.mask(config));
	}
}

const describeConfigsScenarios: Scenario[] = [
	scenario({
		api: "DescribeConfigs",
		name: "defaults of topics",
		from: 1,
		prepare: (session) =>
			session.topic("with-defaults", 1, { "segment.jitter.ms": "7", "retention.bytes": "-1" }),
		async run(session, version, _, { name }) {
			const describe = async (label: string, resource: Fields) => {
				const asked = { resources: [resource], includeSynonyms: true };
				const answer = await session.prepare("DescribeConfigs", version, asked);
				const results = (answer.results as readonly Fields[]).map(({ configs, ...rest }) => {
					// What can change while a broker runs differs.
					const entries = configs as readonly Fields[];
					return { ...rest, configs: entries.map(({ readOnly: _readOnly, ...entry }) => entry) };
				});
				noteConfigs(session, label, { ...answer, results });
			};
			const configurationKeys = SETTINGS_WITH_DEFAULTS;
			await describe("topic", { resourceType: TOPIC, resourceName: name, configurationKeys });
			const options = { configurationKeys: OPTIONS_FOR_TOPICS };
			await describe("broker", { resourceType: BROKER, resourceName: "1", ...options });
		},
	}),
	scenario({
		api: "DescribeConfigs",
		name: "a topic",
		prepare: (session) =>
			session.topic("described", 1, { "retention.ms": "1000000", "cleanup.policy": "compact" }),
		async run(session, version, _, { name }) {
			const describe = async (label: string, resource: Fields, more: Fields = {}) => {
				const defaults = { resourceType: TOPIC, resourceName: name, configurationKeys: null };
				const asked = { resources: [{ ...defaults, ...resource }], ...more };
				noteConfigs(session, label, await session.prepare("DescribeConfigs", version, asked));
			};
			// Names that both have: what only one has is compared by the page of configurations.
			await describe("all", { configurationKeys: COMMON_CONFIGS });
			await describe("one", { configurationKeys: ["retention.ms"] });
			await describe(
				"one with synonyms",
				{ configurationKeys: ["retention.ms"] },
				{ includeSynonyms: true },
			);
			await describe("none", { configurationKeys: [] });
			await describe("an unknown one", { configurationKeys: ["nonsense"] });
			await describe("an unknown topic", { resourceName: "unknown" });
			await describe("an illegal topic", { resourceName: "not a name" });
			await describe("an unknown type", { resourceType: 99 });
			await describe("an unknown broker", { resourceType: BROKER, resourceName: "9999" });
			await describe("no broker", { resourceType: BROKER, resourceName: "odd" });
		},
	}),
];

/** Kafka's settings of a topic, but for the one that its documentation does not name. */
const COMMON_CONFIGS = [
	"cleanup.policy",
	"compression.gzip.level",
	"compression.lz4.level",
	"compression.type",
	"compression.zstd.level",
	"delete.retention.ms",
	"file.delete.delay.ms",
	"flush.messages",
	"flush.ms",
	"follower.replication.throttled.replicas",
	"index.interval.bytes",
	"leader.replication.throttled.replicas",
	"local.retention.bytes",
	"local.retention.ms",
	"max.compaction.lag.ms",
	"max.message.bytes",
	"message.timestamp.after.max.ms",
	"message.timestamp.before.max.ms",
	"message.timestamp.type",
	"min.cleanable.dirty.ratio",
	"min.compaction.lag.ms",
	"min.insync.replicas",
	"preallocate",
	"remote.log.copy.disable",
	"remote.log.delete.on.disable",
	"remote.storage.enable",
	"retention.bytes",
	"retention.ms",
	"segment.bytes",
	"segment.index.bytes",
	"segment.jitter.ms",
	"segment.ms",
	"unclean.leader.election.enable",
];

/**
 * Settings of topics whose defaults are options of the broker: all but `flush.messages`, whose
 * default is Millrace's own, and `min.insync.replicas`, which Kafka keeps as a dynamic option.
 */
const SETTINGS_WITH_DEFAULTS = COMMON_CONFIGS.filter(
	(name) =>
		!/^(flush\.messages|min\.insync\.replicas|remote\..*|.*\.throttled\.replicas)$/.test(name),
);

/** The options of both that are defaults of topics. */
const OPTIONS_FOR_TOPICS = [...DEFAULT_OPTIONS.values()]
	.filter(({ setting }) => SETTINGS_WITH_DEFAULTS.includes(setting))
	.map(({ name }) => name);

/**
 * Options for both: some settings of topics have a default of the broker's own, some one of several
 * options for it, the others none. The values are such that no other scenario is another one.
 */
export const DEFAULTS_OF_BOTH: Readonly<Record<string, string>> = {
	"log.retention.minutes": "10080",
	"log.retention.hours": "2",
	"log.roll.jitter.ms": "0",
	"log.roll.jitter.hours": "1",
	"log.roll.hours": "168",
	"log.segment.delete.delay.ms": "50000",
	"log.cleanup.policy": "delete",
	"log.cleaner.min.cleanable.ratio": "0.25",
	"compression.zstd.level": "5",
	"message.max.bytes": "1000000",
};

/** Resources that a marker was put on, and how often. */
const marked = new Map<string, number>();

/**
 * Resolves when the broker shows what it has changed: Kafka does so a while after it has answered,
 * in the order of the changes, so another one is made, and seen.
 */
async function untilShown(
	session: Session,
	resourceType: number,
	resourceName: string,
	name: string,
	first: number,
): Promise<void> {
	const count = (marked.get(resourceName) ?? 0) + 1;
	marked.set(resourceName, count);
	const value = `${first + count}`;
	const configs = [{ name, configOperation: SET, value }];
	const asked = { resources: [{ resourceType, resourceName, configs }], validateOnly: false };
	await session.prepare("IncrementalAlterConfigs", 1, asked);
	await session.untilDone(async () => {
		const resources = [{ resourceType, resourceName, configurationKeys: [name] }];
		const described = await session.prepare("DescribeConfigs", 4, { resources });
		const shown = pick(described, "results", 0, "configs", 0)?.value;
		return { errorCode: shown === value ? 0 : -1 };
	});
}

/** Some settings of a topic as they are after an answer. */
async function noteValues(
	session: Session,
	name: string,
	label: string,
	answer: Fields | null,
): Promise<void> {
	const [outcome] = (answer?.responses ?? []) as readonly Fields[];
	if (outcome?.errorCode === 0) {
		await untilShown(session, TOPIC, name, "file.delete.delay.ms", 1_000_000);
	}
	const configurationKeys = ["retention.ms", "segment.bytes", "cleanup.policy"];
	const resources = [{ resourceType: TOPIC, resourceName: name, configurationKeys }];
	const described = await session.prepare("DescribeConfigs", 4, { resources });
	const [{ configs }] = described.results as unknown as [Fields];
	const values = (configs as readonly Fields[]).map((config) => [
		config.name as string,
		config.value as string,
	]);
	session.note(`${label} then is`, Object.fromEntries(values.sort()));
}

const alterConfigsScenarios: Scenario[] = [
	scenario({
		api: "AlterConfigs",
		name: "topics",
		waits: true,
		needs: ["DescribeConfigs"],
		async run(session, version, id) {
			const { name } = await session.topic(id, 1, { "retention.ms": "5000" });
			const alter = async (
				label: string,
				configs: Configs,
				resource: Fields = {},
				more: Fields = {},
			) => {
				const defaults = { resourceType: TOPIC, resourceName: name, configs: entries(configs) };
				const asked = { resources: [{ ...defaults, ...resource }], validateOnly: false, ...more };
				const answer = await session.ask("AlterConfigs", version, asked, label);
				await noteValues(session, name, label, answer);
			};
			await alter("only checked", { "segment.bytes": "2000000" }, {}, { validateOnly: true });
			await alter("another setting", { "segment.bytes": "2000000" });
			await alter("an unknown one", { nonsense: "1" });
			await alter("no number", { "retention.ms": "soon" });
			await alter("no value", { "retention.ms": null });
			await alter("an unknown topic", {}, { resourceName: "unknown" });
			await alter("an unknown type", {}, { resourceType: 99 });
			await alter(
				"a broker's setting",
				{ "num.partitions": "2" },
				{ resourceType: BROKER, resourceName: "" },
			);
			await alter("a broker that there is not", {}, { resourceType: BROKER, resourceName: "odd" });
			await alter("groups without a name", {}, { resourceType: GROUP, resourceName: "" });
			await alter("nothing", {});
		},
	}),
	scenario({
		api: "IncrementalAlterConfigs",
		name: "topics",
		waits: true,
		needs: ["DescribeConfigs"],
		async run(session, version, id) {
			const { name } = await session.topic(id, 1, { "retention.ms": "5000" });
			const alter = async (
				label: string,
				changes: readonly (readonly [string, number, string | null])[],
				resource: Fields = {},
				more: Fields = {},
			) => {
				const configs = changes.map(([key, configOperation, value]) => ({
					name: key,
					configOperation,
					value,
				}));
				const defaults = { resourceType: TOPIC, resourceName: name, configs };
				const asked = { resources: [{ ...defaults, ...resource }], validateOnly: false, ...more };
				const answer = await session.ask("IncrementalAlterConfigs", version, asked, label);
				await noteValues(session, name, label, answer);
			};
			const smaller = [["segment.bytes", SET, "2000000"]] as const;
			await alter("only checked", smaller, {}, { validateOnly: true });
			await alter("set", smaller);
			await alter("remove", [["retention.ms", DELETE, null]]);
			await alter("append", [["cleanup.policy", APPEND, "compact"]]);
			await alter("append what is there", [["cleanup.policy", APPEND, "compact"]]);
			await alter("subtract", [["cleanup.policy", SUBTRACT, "delete"]]);
			await alter("subtract what is not there", [["cleanup.policy", SUBTRACT, "delete"]]);
			await alter("least lag", [["min.compaction.lag.ms", SET, "6"]]);
			await alter("most below least", [["max.compaction.lag.ms", SET, "5"]]);
			await alter("append to a number", [["retention.ms", APPEND, "1"]]);
			await alter("an unknown operation", [["retention.ms", 9, "1"]]);
			await alter("an unknown one", [["nonsense", SET, "1"]]);
			await alter("remove an unknown one", [["nonsense", DELETE, null]]);
			await alter("no number", [["retention.ms", SET, "soon"]]);
			await alter("no value", [["retention.ms", SET, null]]);
			await alter("permissions and hints", [
				["unclean.leader.election.enable", SET, "true"],
				["segment.index.bytes", SET, "52428800"],
				["segment.jitter.ms", SET, "60000"],
			]);
			await alter("a hint that is too small", [["segment.index.bytes", SET, "3"]]);
			await alter("one twice", [
				["retention.ms", SET, "1"],
				["retention.ms", SET, "2"],
			]);
			await alter("one good, one bad", [
				["retention.ms", SET, "7000"],
				["segment.bytes", SET, "few"],
			]);
			await alter("an unknown topic", smaller, { resourceName: "unknown" });
			await alter("an unknown type", smaller, { resourceType: 99 });
			const changed = [["num.partitions", SET, "2"]] as const;
			const brokers = { resourceType: BROKER, resourceName: "" };
			await alter("a broker's setting", changed, brokers);
			await alter("a broker's setting, only checked", changed, brokers, { validateOnly: true });
			await alter("remove a broker's setting", [["num.partitions", DELETE, null]], brokers);
			await alter("a broker that there is not", changed, { ...brokers, resourceName: "odd" });
			await alter("a broker's unknown setting", [["nonsense", SET, "1"]], brokers);
		},
	}),
	scenario({
		api: "IncrementalAlterConfigs",
		name: "groups",
		waits: true,
		needs: ["DescribeConfigs", "ListConfigResources"],
		async run(session, version, id) {
			const names = ["consumer.session.timeout.ms", "consumer.heartbeat.interval.ms"] as const;
			const [timeout, interval] = names;
			const show = async (label: string) => {
				const resource = { resourceType: GROUP, resourceName: id, configurationKeys: names };
				const asked = { resources: [resource], includeSynonyms: true };
				const described = await session.prepare("DescribeConfigs", 4, asked);
				noteConfigs(session, `${label} then is`, described);
				const listed = await session.prepare("ListConfigResources", 1, { resourceTypes: [GROUP] });
				const groups = listed.configResources as readonly Fields[];
				const isListed = groups.some(({ resourceName }) => resourceName === id);
				session.note(`${label} is listed`, { isListed });
			};
			const alter = async (
				label: string,
				changes: readonly (readonly [string, number, string | null])[],
				more: Fields = {},
			) => {
				const configs = changes.map(([name, configOperation, value]) => ({
					name,
					configOperation,
					value,
				}));
				const resource = { resourceType: GROUP, resourceName: id, configs };
				const asked = { resources: [resource], validateOnly: false, ...more };
				await session.ask("IncrementalAlterConfigs", version, asked, label);
				await untilShown(session, GROUP, `${id}-marker`, timeout, 50_000);
				await show(label);
			};
			await show("a new group");
			await alter("only checked", [[timeout, SET, "50000"]], { validateOnly: true });
			await alter("two settings", [
				[timeout, SET, "50000"],
				[interval, SET, "6000"],
			]);
			await alter("less than may be", [[timeout, SET, "1"]]);
			await alter("more than may be", [[interval, SET, "60000"]]);
			await alter("no number", [[timeout, SET, "x"]]);
			await alter("no value", [[timeout, SET, null]]);
			await alter("no list", [[timeout, APPEND, "1"]]);
			await alter("an unknown one", [["nonsense", SET, "1"]]);
			await alter("remove an unknown one", [["nonsense", DELETE, null]]);
			await alter("one good, one bad", [
				[timeout, SET, "55000"],
				[interval, SET, "1"],
			]);
			await alter("remove one", [[timeout, DELETE, null]]);
			await alter("remove both", [
				[timeout, DELETE, null],
				[interval, DELETE, null],
			]);
		},
	}),
	scenario({
		api: "ListConfigResources",
		name: "types",
		prepare: (session) => session.topic("listed-resource"),
		async run(session, version) {
			const list = async (label: string, resourceTypes: number[]) => {
				const asked = version === 0 ? {} : { resourceTypes };
				const answer = await session.prepare("ListConfigResources", version, asked);
				const resources = (answer.configResources as readonly Fields[]).filter(
					({ resourceType, resourceName }) =>
						resourceType !== TOPIC || resourceName === "listed-resource",
				);
				const types = resources.map(({ resourceType }) => resourceType as number);
				session.note(label, { errorCode: answer.errorCode as number, types: types.sort() });
			};
			if (version === 0) return list("telemetry", []);
			await list("topics", [TOPIC]);
			await list("groups", [GROUP]);
			await list("an unknown type", [99]);
		},
	}),
];

const logScenarios: Scenario[] = [
	scenario({
		api: "DescribeLogDirs",
		name: "partitions",
		async prepare(session) {
			const topic = await session.topic("log-dirs", 2);
			await session.append(topic, [batch(["a", "b"])]);
			return topic;
		},
		async run(session, version, _, { name }) {
			const describe = (label: string, topics: Fields[]) =>
				session.ask("DescribeLogDirs", version, { topics }, label);
			await describe("two", [{ topic: name, partitions: [0, 1] }]);
			await describe("one that is not there", [{ topic: name, partitions: [9] }]);
			await describe("an unknown topic", [{ topic: "unknown", partitions: [0] }]);
			await describe("none", []);
		},
	}),
	scenario({
		api: "DescribeProducers",
		name: "partitions",
		async prepare(session) {
			const topic = await session.topic("producers");
			const asked = { transactionalId: null, transactionTimeoutMs: 60_000 };
			const first = () => session.prepare("InitProducerId", 4, asked);
			const { producerId } = await session.untilDone(first);
			const producer = { id: producerId as number, epoch: 0, sequence: 0 };
			await session.append(topic, [batch(["a", "b"], { producer })]);
			return topic;
		},
		async run(session, version, _, { name }) {
			const describe = (label: string, topic: string, ...partitionIndexes: number[]) => {
				const topics = [{ name: topic, partitionIndexes }];
				return session.ask("DescribeProducers", version, { topics }, label);
			};
			await describe("one producer", name, 0);
			await describe("a partition that is not there", name, 9);
			await describe("an unknown topic", "unknown", 0);
		},
	}),
	scenario({
		api: "ListTransactions",
		name: "none",
		async run(session, version) {
			await session.ask("ListTransactions", version, { stateFilters: [], producerIdFilters: [] });
		},
	}),
	scenario({
		api: "ElectLeaders",
		name: "leaders that lead",
		prepare: (session) => session.topic("elected"),
		async run(session, version, _, { name }) {
			const elect = (label: string, topic: string, more: Fields = {}) => {
				const topicPartitions = [{ topic, partitions: [0] }];
				const asked = { topicPartitions, timeoutMs: 120_000, ...more };
				return session.ask("ElectLeaders", version, asked, label);
			};
			await elect("preferred", name);
			await elect("of an unknown topic", "unknown");
			if (version < 1) return;
			await elect("unclean", name, { electionType: 1 });
			await elect("of an unknown kind", name, { electionType: 9 });
		},
	}),
];

const reassignmentScenarios: Scenario[] = [
	scenario({
		api: "AlterPartitionReassignments",
		name: "to the one broker and elsewhere",
		prepare: (session) => session.topic("reassigned"),
		async run(session, version, _, { name }) {
			const { brokers } = await session.prepare("Metadata", 12, { topics: [] });
			const broker = ((brokers as readonly Fields[])[0] as Fields).nodeId as number;
			const move = (
				label: string,
				replicas: number[] | null,
				{ topic = name, partitionIndex = 0, timeoutMs = 120_000 } = {},
			) => {
				const topics = [{ name: topic, partitions: [{ partitionIndex, replicas }] }];
				return session.ask("AlterPartitionReassignments", version, { topics, timeoutMs }, label);
			};
			await move("where it is", [broker]);
			await move("to an unknown broker", [broker + 1_000]);
			await move("to one twice", [broker, broker]);
			await move("to nobody", []);
			await move("cancelled", null);
			await move("without time", [broker], { timeoutMs: 0 });
			for (const replicas of [[broker], null]) {
				await move("an unknown topic", replicas, { topic: "unknown" });
				await move("an unknown partition", replicas, { partitionIndex: 9 });
			}
		},
	}),
	scenario({
		api: "ListPartitionReassignments",
		name: "none",
		prepare: (session) => session.topic("not-reassigned"),
		async run(session, version, _, { name }) {
			const list = (label: string, topics: Fields[] | null) =>
				session.ask("ListPartitionReassignments", version, { topics, timeoutMs: 120_000 }, label);
			await list("all", null);
			await list("one", [{ name, partitionIndexes: [0, 9] }]);
			await list("unknown", [{ name: "unknown", partitionIndexes: [0] }]);
		},
	}),
	scenario({
		api: "DescribeQuorum",
		name: "the metadata and others",
		prepare: (session) => session.topic("no-quorum"),
		async run(session, version, _, { name }) {
			const describe = (label: string, ...asked: [topicName: string, ...indexes: number[]][]) => {
				const topics = asked.map(([topicName, ...indexes]) => ({
					topicName,
					partitions: indexes.map((partitionIndex) => ({ partitionIndex })),
				}));
				return session.ask("DescribeQuorum", version, { topics }, label);
			};
			await describe("of the metadata", ["__cluster_metadata", 0]);
			await describe("of another partition", ["__cluster_metadata", 1]);
			await describe("of two partitions", ["__cluster_metadata", 0, 1]);
			await describe("of a topic", [name, 0]);
			await describe("of both", ["__cluster_metadata", 0], [name, 0]);
			await describe("of nothing");
		},
	}),
];

export const adminScenarios: readonly Scenario[] = [
	...createScenarios,
	...describeConfigsScenarios,
	...alterConfigsScenarios,
	...logScenarios,
	...reassignmentScenarios,
];
