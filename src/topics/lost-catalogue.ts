/**
 * Making the catalogue of topics fit the directories that are there: when the metadata is lost,
 * when directories were set aside, and when directories of topics are missing.
 */
import { MillraceError } from "../errors.ts";
import { OFFSETS_TOPIC_CONFIG } from "../groups/log/offsets-log.ts";
import { parseRecord } from "../metadata/metadata-records.ts";
import type { Inventory, RepairOptions, TopicDirectory } from "../storage/repair.ts";
import { kindOf } from "../stored-kinds.ts";
import { OFFSETS_TOPIC } from "./internal-topics.ts";
import { isTopicName } from "./names.ts";
import {
	decodeRecords,
	encodeTopic,
	type TopicIdentity,
	type TopicRecord,
	topicKey,
} from "./topic-records.ts";

/** The part of a repair that is about topics. */
export type CatalogueRepair = Pick<
	RepairOptions,
	"bringBack" | "entries" | "isMetadataLost" | "missing" | "notes"
>;

/**
 * What has to be done about topics. `bringBack` names directories below `set-aside/` that are to be
 * topics again. Throws INVALID_ARGUMENT for those that cannot be, DATA_DIRECTORY_NEWER for metadata
 * of a newer version.
 */
export function planCatalogue(inventory: Inventory, bringBack: readonly string[]): CatalogueRepair {
	const { sound, topics, deleted, lost } = soundEntries(inventory.entries ?? []);
	const isMetadataLost = inventory.entries === undefined || lost.length > 0;
	// A new file takes over what is sound of the old one.
	const plan = new Plan(topics, isMetadataLost ? sound : []);
	if (inventory.entries === undefined) {
		plan.note("metadata.redb", `${inventory.problem}: all settings are lost with it`);
	}
	for (const problem of lost) plan.note("metadata.redb", problem);
	const served = inventory.directories.filter(({ setAside }) => setAside === undefined);
	const gone = new Set(deleted.map(({ topicId }) => topicId));
	for (const directory of served) {
		if (gone.has(directory.topicId) || plan.knows(directory.topicId)) continue;
		if (isMetadataLost) plan.adoptIfPossible(directory);
	}
	for (const name of bringBack) {
		const directory = inventory.directories.find(({ setAside }) => setAside === name);
		if (directory === undefined) throw refused(name, "there is no such directory");
		if (served.some(({ topicId }) => topicId === directory.topicId)) {
			throw refused(name, "a directory of that topic is being served");
		}
		// Of a topic that is known it is the missing directory.
		const problem = plan.knows(directory.topicId) ? undefined : plan.adopt(directory);
		if (problem !== undefined) throw refused(name, problem);
	}
	const present = inventory.directories.filter(
		({ setAside }) => setAside === undefined || bringBack.includes(setAside),
	);
	return {
		bringBack: [...bringBack],
		isMetadataLost,
		entries: plan.entries,
		missing: plan.missingAmong(present),
		notes: plan.notes,
	};
}

/** What can be read of the metadata's entries, and what goes with the others. */
function soundEntries(entries: NonNullable<Inventory["entries"]>): {
	sound: CatalogueRepair["entries"];
	topics: TopicRecord[];
	deleted: TopicIdentity[];
	lost: string[];
} {
	const found = {
		sound: [] as CatalogueRepair["entries"],
		topics: [] as TopicRecord[],
		deleted: [] as TopicIdentity[],
		lost: [] as string[],
	};
	for (const { key, value = new Uint8Array() } of entries) {
		try {
			parseRecord(key, value);
			kindOf(key)?.decode(key, value);
			const { topics, deleted } = decodeRecords(new Map([[key, value]]));
			found.topics.push(...topics);
			found.deleted.push(...deleted);
			found.sound.push({ key, value });
		} catch (error) {
			if (!(error instanceof MillraceError) || error.code !== "DATA_DAMAGED") throw error;
			const loss = kindOf(key)?.lossOf(key, value);
			found.lost.push(`${error.message}: it is left out${loss === undefined ? "" : `, ${loss}`}`);
		}
	}
	return found;
}

class Plan {
	readonly entries: CatalogueRepair["entries"];
	readonly notes: CatalogueRepair["notes"] = [];
	/** By name. */
	readonly #topics: Map<string, TopicRecord>;

	constructor(topics: readonly TopicRecord[], entries: CatalogueRepair["entries"]) {
		this.entries = entries;
		this.#topics = new Map(topics.map((topic) => [topic.name, topic]));
	}

	knows(topicId: string): boolean {
		return [...this.#topics.values()].some((topic) => topic.topicId === topicId);
	}

	note(subject: string, detail: string): void {
		this.notes.push({ subject, detail });
	}

	/** Takes a topic up, or notes why not. */
	adoptIfPossible(directory: TopicDirectory): void {
		const problem = this.adopt(directory);
		if (problem === undefined) return;
		const { topic, topicId } = directory;
		this.note(topic ?? topicId, `its directory ${topicId} cannot be served: ${problem}`);
	}

	/** Makes a topic of a directory; returns why it cannot be one. */
	adopt({ topic: name, topicId, partitions }: TopicDirectory): string | undefined {
		if (name === undefined) return "no partition.json in it tells the topic's name";
		if (!isTopicName(name)) return `${JSON.stringify(name.slice(0, 100))} is no topic's name`;
		const namesake = this.#topics.get(name);
		if (namesake !== undefined) return `${name} is the topic ${namesake.topicId}`;
		const count = (partitions.at(-1) ?? 0) + 1;
		// Kafka's own tools expect it compacted; what the broker does with it does not depend on that.
		const isOffsets = name === OFFSETS_TOPIC;
		const overrides = isOffsets ? new Map(OFFSETS_TOPIC_CONFIG) : new Map<string, string>();
		const record: TopicRecord = { name, topicId, partitions: count, overrides };
		this.#topics.set(name, record);
		this.entries.push({ key: topicKey(name), value: encodeTopic(record) });
		const configuration = isOffsets ? "the broker's configuration for it" : "default configuration";
		const shown = count === 1 ? "1 partition" : `${count} partitions`;
		this.note(name, `a topic again, with ${shown} and ${configuration}`);
		return undefined;
	}

	/** Partitions of known topics of which there is no directory. */
	missingAmong(directories: readonly TopicDirectory[]): CatalogueRepair["missing"] {
		const missing: CatalogueRepair["missing"] = [];
		for (const { name: topic, topicId, partitions } of this.#topics.values()) {
			const there = new Set(directories.find((one) => one.topicId === topicId)?.partitions);
			for (let partition = 0; partition < partitions; partition++) {
				if (!there.has(partition)) missing.push({ topic, topicId, partition });
			}
		}
		return missing;
	}
}

function refused(name: string, problem: string): MillraceError {
	return new MillraceError("INVALID_ARGUMENT", `${name} cannot be brought back: ${problem}`);
}
