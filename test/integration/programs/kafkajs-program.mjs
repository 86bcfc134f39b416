// kafkajs as a program: see README.md.
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import kafkajs from "kafkajs";

const { CompressionTypes, ConfigResourceTypes, Kafka, logLevel } = kafkajs;

const [, , command, text] = process.argv;
const options = JSON.parse(text);
// Of the codecs it has these two built in.
const CODECS = { none: CompressionTypes.None, gzip: CompressionTypes.GZIP };

const kafka = new Kafka({
	clientId: "kafkajs-program",
	brokers: [options.bootstrap],
	logLevel: logLevel.NOTHING,
	// A second by default, which a busy machine may take.
	connectionTimeout: 30_000,
	retry: { initialRetryTime: 50, retries: 20 },
});

const write = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
const encode = (data) => (data === null || data === undefined ? null : data.toString("base64"));
const decode = (data) => (data === null ? null : Buffer.from(data, "base64"));
const lines = () => createInterface({ input: process.stdin });

/** A name twice is an array of values in its headers. */
function decodeHeaders(headers) {
	const decoded = {};
	for (const [name, value] of headers) {
		const data = decode(value);
		decoded[name] = name in decoded ? [decoded[name], data].flat() : data;
	}
	return decoded;
}

const encodeHeaders = (headers) =>
	Object.entries(headers).flatMap(([name, values]) =>
		[values].flat().map((value) => [name, encode(value)]),
	);

async function produce() {
	const producer = kafka.producer({
		idempotent: options.idempotent === true,
		maxInFlightRequests: options.idempotent === true ? 1 : undefined,
		createPartitioner: kafkajs.Partitioners.DefaultPartitioner,
	});
	await producer.connect();
	const records = [];
	for await (const line of lines()) records.push(JSON.parse(line));
	// It acknowledges a request a partition, with the offset of its first record: what goes to one
	// partition in one request has the offsets that follow.
	for (const record of records) {
		const [ack] = await producer.send({
			topic: options.topic,
			acks: -1,
			compression: CODECS[record.codec],
			messages: [
				{
					key: decode(record.key),
					value: decode(record.value),
					headers: decodeHeaders(record.headers),
					...(record.partition < 0 ? {} : { partition: record.partition }),
					...(record.timestamp === null ? {} : { timestamp: `${record.timestamp}` }),
				},
			],
		});
		write({ partition: ack.partition, offset: Number(ack.baseOffset) });
	}
	await producer.disconnect();
}

/** It consumes as a member of a group only. */
async function consume() {
	const group = `kafkajs-${process.pid}-${Date.now()}`;
	const admin = kafka.admin();
	await admin.connect();
	const positions = await starts(admin);
	const consumer = kafka.consumer({ groupId: group, maxWaitTimeInMs: 200 });
	await consumer.connect();
	await consumer.subscribe({ topic: options.topic });
	const deadline = sleep(options.timeoutMs, undefined, { ref: false });
	const taken = new Promise((resolve) => {
		let count = 0;
		const eachMessage = async ({ partition, message }) => {
			if (count === options.count || !options.partitions.includes(partition)) return;
			write({
				partition,
				offset: Number(message.offset),
				timestamp: Number(message.timestamp),
				// It does not tell which of the two timestamps it gives.
				timestampType: null,
				key: encode(message.key),
				value: encode(message.value),
				headers: encodeHeaders(message.headers),
			});
			count += 1;
			if (count === options.count) resolve();
		};
		void consumer.run({ eachMessage });
		for (const position of positions) consumer.seek({ topic: options.topic, ...position });
	});
	await Promise.race([taken, deadline]);
	await consumer.disconnect();
	await admin.deleteGroups([group]);
	await admin.disconnect();
}

async function starts(admin) {
	const { start, topic } = options;
	const listed =
		start.timestamp === undefined
			? await admin.fetchTopicOffsets(topic)
			: await admin.fetchTopicOffsetsByTimestamp(topic, start.timestamp);
	return listed.map(({ partition, offset, low }) => {
		if (start === "earliest") return { partition, offset: low };
		return { partition, offset: start.offset === undefined ? offset : `${start.offset}` };
	});
}

async function group() {
	const consumer = kafka.consumer({
		groupId: options.group,
		sessionTimeout: options.sessionTimeoutMs,
		heartbeatInterval: options.heartbeatMs,
		rebalanceTimeout: 60_000,
		maxWaitTimeInMs: 200,
	});
	let held = [];
	consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
		held = payload.memberAssignment[options.topic] ?? [];
		write({ event: "assigned", partitions: held });
	});
	consumer.on(consumer.events.REBALANCING, () => {
		write({ event: "revoked", partitions: held });
		held = [];
	});
	consumer.on(consumer.events.CRASH, ({ payload }) =>
		write({ event: "error", message: payload.error.message }),
	);
	consumer.on(consumer.events.COMMIT_OFFSETS, ({ payload }) => {
		const { partitions } = payload.topics.find(({ topic }) => topic === options.topic);
		const offsets = partitions.map(({ partition, offset }) => [partition, Number(offset)]);
		write({ event: "committed", offsets: Object.fromEntries(offsets) });
	});
	await consumer.connect();
	await consumer.subscribe({ topic: options.topic, fromBeginning: true });
	await consumer.run({
		autoCommitThreshold: options.commitEvery,
		eachMessage: async ({ partition, message }) => {
			const value = encode(message.value);
			write({ event: "record", partition, offset: Number(message.offset), value });
			await sleep(options.handleMs);
		},
	});
	for await (const _ of process.stdin);
	await consumer.disconnect();
	write({ event: "left" });
}

const topicResource = (name) => ({ type: ConfigResourceTypes.TOPIC, name });

const commands = {
	async createTopic(admin, { name, partitions, configs = {}, validateOnly = false }) {
		const configEntries = Object.entries(configs).map(([key, value]) => ({ name: key, value }));
		const created = await admin.createTopics({
			validateOnly,
			waitForLeaders: !validateOnly,
			topics: [{ topic: name, numPartitions: partitions, replicationFactor: 1, configEntries }],
		});
		// It answers this one error with a value.
		if (!created) return { error: 36 };
	},
	async describeTopic(admin, { name }) {
		const { topics } = await admin.fetchTopicMetadata({ topics: [name] });
		return { partitions: topics[0].partitions.length };
	},
	async listTopics(admin) {
		return { topics: (await admin.listTopics()).sort() };
	},
	async createPartitions(admin, { name, count }) {
		await admin.createPartitions({ topicPartitions: [{ topic: name, count }] });
	},
	async describeConfigs(admin, { name }) {
		const { resources } = await admin.describeConfigs({ resources: [topicResource(name)] });
		const entries = resources[0].configEntries;
		return {
			configs: Object.fromEntries(
				entries.map(({ configName, configValue }) => [configName, configValue]),
			),
		};
	},
	/** It knows only the older call, which resets what it does not name. */
	async alterConfigs(admin, { name, set, remove }) {
		const { resources } = await admin.describeConfigs({ resources: [topicResource(name)] });
		const configs = new Map(Object.entries(set));
		for (const { configName, configValue, isDefault, configSource } of resources[0].configEntries) {
			const isOwn = configSource === undefined ? !isDefault : configSource === 1;
			if (isOwn && !configs.has(configName)) configs.set(configName, configValue);
		}
		for (const key of remove) configs.delete(key);
		const configEntries = [...configs].map(([key, value]) => ({ name: key, value }));
		await admin.alterConfigs({ resources: [{ ...topicResource(name), configEntries }] });
	},
	async deleteRecords(admin, { name, partition, offset }) {
		const partitions = [{ partition, offset: `${offset}` }];
		await admin.deleteTopicRecords({ topic: name, partitions });
	},
	async listOffsets(admin, { name, partition, at }) {
		const listed =
			typeof at === "string"
				? await admin.fetchTopicOffsets(name)
				: await admin.fetchTopicOffsetsByTimestamp(name, at);
		const found = listed.find((part) => part.partition === partition);
		return { offset: Number(at === "earliest" ? found.low : found.offset) };
	},
	async listGroups(admin) {
		const { groups } = await admin.listGroups();
		return { groups: groups.map(({ groupId }) => groupId).sort() };
	},
	async describeGroup(admin, { group: id }) {
		const { groups } = await admin.describeGroups([id]);
		return { state: groups[0].state.toUpperCase(), members: groups[0].members.length };
	},
	async committedOffsets(admin, { group: id }) {
		const topics = await admin.fetchOffsets({ groupId: id });
		const offsets = topics.flatMap(({ topic, partitions }) =>
			partitions.map(({ partition, offset }) => [`${topic}:${partition}`, Number(offset)]),
		);
		return { offsets: Object.fromEntries(offsets) };
	},
	async commitOffsets(admin, { group: id, name, offsets }) {
		const partitions = Object.entries(offsets).map(([partition, offset]) => ({
			partition: Number(partition),
			offset: `${offset}`,
		}));
		await admin.setOffsets({ groupId: id, topic: name, partitions });
	},
	async deleteGroup(admin, { group: id }) {
		await admin.deleteGroups([id]);
	},
	async deleteTopic(admin, { name }) {
		await admin.deleteTopics({ topics: [name] });
	},
	async describeCluster(admin) {
		const { brokers, clusterId } = await admin.describeCluster();
		return { clusterId, brokers: brokers.length };
	},
};

/** The number is in the error, in what caused it, or in the first of what it collects. */
function errorCode(error) {
	for (let cause = error; cause instanceof Error; cause = cause.cause) {
		if (Number.isInteger(cause.code)) return cause.code;
		const inner = cause.errors?.[0] ?? cause.groups?.[0] ?? cause.partitions?.[0]?.error;
		if (inner !== undefined) return inner.errorCode ?? errorCode(inner.error ?? inner);
	}
	throw error;
}

async function answerCommands() {
	const admin = kafka.admin({ retry: { retries: 2 } });
	await admin.connect();
	for await (const line of lines()) {
		const asked = JSON.parse(line);
		const call = commands[asked.do];
		if (call === undefined) {
			write({ unsupported: true });
			continue;
		}
		try {
			write({ error: 0, ...(await call(admin, asked)) });
		} catch (error) {
			write({ error: errorCode(error) });
		}
	}
	await admin.disconnect();
}

await { produce, consume, group, admin: answerCommands }[command]();
