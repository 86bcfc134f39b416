import type { DecodedMap } from "../../src/protocol/reader.ts";
import type { FrameValue } from "../../src/protocol/writer.ts";
import type { RawClient } from "./raw-client.ts";

/** Partitions by topic, as notices have them. */
type Topics<Item> = { topic: string; topic_id: string; partitions: Item[] }[];

export interface Assigned {
	partition: number;
	offset: number | null;
	leader_epoch: number;
}

/** One membership of a raw client: takes notices when the test says so, and answers nothing. */
export class RawMember {
	readonly client: RawClient;
	readonly group: string;
	readonly memberId: string;
	readonly isResumed: boolean;

	private constructor(client: RawClient, group: string, answer: DecodedMap) {
		this.client = client;
		this.group = group;
		this.memberId = answer.member_id as string;
		this.isResumed = answer.resumed as boolean;
	}

	static async join(
		client: RawClient,
		group: string,
		takes: Record<string, FrameValue>,
	): Promise<RawMember> {
		return new RawMember(client, group, await client.call("groups.join", { group, ...takes }));
	}

	/** The next notice of a kind to this member. */
	async notice(kind: "assign" | "revoke" | "lost"): Promise<DecodedMap> {
		const frame = await this.client.take(
			([operation, of, map]) =>
				operation === 136 && of === kind && (map as DecodedMap).member_id === this.memberId,
		);
		return frame[2] as DecodedMap;
	}

	/**
	 * Takes assignments until they come to so many partitions; answers those, in order. They may come
	 * one after the other: others give up first, and assigning pauses where it has taken long.
	 */
	async assigned(count: number): Promise<Assigned[]> {
		const all: Assigned[] = [];
		do {
			const topics = (await this.notice("assign")).topics as unknown as Topics<Assigned>;
			all.push(...topics.flatMap(({ partitions }) => partitions));
		} while (all.length < count);
		return all.sort((left, right) => left.partition - right.partition);
	}

	/** The next revocation: what the acknowledgement of it says. */
	async revoked(): Promise<Topics<number>> {
		return (await this.notice("revoke")).topics as unknown as Topics<number>;
	}

	call(name: string, takes: Record<string, FrameValue> = {}): Promise<DecodedMap> {
		const { group, memberId } = this;
		return this.client.call(`groups.${name}`, { group, member_id: memberId, ...takes });
	}

	acknowledge(topics: Topics<number>): Promise<DecodedMap> {
		return this.call("acknowledge", { topics: topics as unknown as FrameValue });
	}

	/** Commits offsets by partition; answers the code of each. */
	async commit(topic: string, offsets: Record<number, number>): Promise<number[]> {
		const partitions = Object.entries(offsets).map(([partition, offset]) => ({
			partition: Number(partition),
			offset,
		}));
		const answer = await this.call("commit", { topics: [{ topic, partitions }] });
		const [first] = answer.topics as unknown as { partitions: { code: number }[] }[];
		return (first?.partitions ?? []).map(({ code }) => code);
	}

	/** Whether a notice of a kind has come that was not taken. */
	has(kind: "assign" | "revoke" | "lost"): boolean {
		return this.client.frames.some(
			([operation, of, map]) =>
				operation === 136 && of === kind && (map as DecodedMap).member_id === this.memberId,
		);
	}
}
