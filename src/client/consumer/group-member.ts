import type { CallAnswer, CallArguments, CallName, GroupNotices } from "../../protocol/calls.ts";
import { MillraceError } from "../../protocol/error.ts";
import { OPERATION } from "../../protocol/operations.ts";
import type { DecodedMap } from "../../protocol/reader.ts";
import type { FrameValue } from "../../protocol/writer.ts";
import type { Connection } from "../connection/connection.ts";

/** Most partitions in one groups.commit. */
const COMMIT_PARTITIONS_MAX = 4_096;

/** A request to join that the broker cannot serve for now is repeated after so long, in ms. */
const JOIN_AGAIN_MS = 500;

/** Notices that come before the answer to join; more are a broker's error. */
const EARLY_NOTICES_MAX = 1_000;

/** What is new to a member. */
export interface MemberEvents {
	assigned(notice: GroupNotices["assign"]): void;
	revoked(notice: GroupNotices["revoke"]): void;
	lost(error: MillraceError): void;
}

/** What to commit of one partition. */
export interface Commit {
	readonly topic: string;
	readonly partition: number;
	readonly offset: number;
	readonly metadata?: string | undefined;
}

/** A commit, and the code that the broker gave it. */
export interface Committed extends Commit {
	readonly code: number;
}

type Terms = Omit<CallArguments<"groups.join">, "member_id">;

/**
 * A member of a group as the protocol has it: joins over a connection, passes on what the broker
 * tells it, says what was given up and what is to be committed. Each connection has a membership of
 * its own; which partitions that is about, and what comes of it, is the consumer's matter.
 */
export class GroupMember {
	readonly #terms: Terms;
	readonly #events: MemberEvents;
	#connection: Connection | undefined;
	/** Chosen here, so that a join whose answer is lost can be repeated as the same member. */
	#memberId = newMemberId();
	/** A join was sent under this id: the broker may know it. */
	#isKnown = false;
	#state: "out" | "joining" | "in" = "out";
	/** What came before the answer to join. */
	#early: { kind: string; details: DecodedMap }[] = [];

	constructor(terms: Terms, events: MemberEvents) {
		this.#terms = terms;
		this.#events = events;
	}

	/** Whether the broker counts it as a member, as far as is known here. */
	get isMember(): boolean {
		return this.#state === "in";
	}

	/**
	 * Joins over a connection, trying until the broker can serve it; resolves to whether it is the
	 * member that it was before. Rejects with what the broker refuses it for, or CONNECTION_LOST.
	 */
	async join(connection: Connection, isWanted: () => boolean): Promise<boolean> {
		this.#connection = connection;
		this.#state = "joining";
		const isBack = this.#isKnown;
		for (;;) {
			this.#early = [];
			try {
				this.#isKnown = true;
				const takes = { ...this.#terms, member_id: this.#memberId };
				const answer = await this.#call("groups.join", takes);
				this.#memberId = answer.member_id;
				this.#state = "in";
				return answer.resumed;
			} catch (thrown) {
				const error = thrown as MillraceError;
				if (error.code === "UNKNOWN_MEMBER_ID") this.#forget();
				// Our own connection of before may not be known to be gone.
				else if (!error.retriable && !(isBack && error.code === "UNRELEASED_INSTANCE_ID"))
					throw error;
				if (error.code === "CONNECTION_LOST" || !isWanted()) throw error;
				await new Promise((resolve) => setTimeout(resolve, error.retryAfterMs ?? JOIN_AGAIN_MS));
				if (!isWanted()) throw error;
			}
		}
	}

	/** Passes on what came before the answer to join, once everything is ready for it. */
	begin(): void {
		for (const { kind, details } of this.#early.splice(0)) this.notice(kind, details);
	}

	/** The connection is gone; the next one goes on as this member, if the broker lets it. */
	detach(): void {
		this.#state = "out";
		this.#connection = undefined;
	}

	/** A notice, of this member or of others. */
	notice(kind: string, details: DecodedMap): void {
		if (this.#state === "out" || details.group !== this.#terms.group) return;
		if (this.#state === "joining") {
			if (this.#early.length < EARLY_NOTICES_MAX) this.#early.push({ kind, details });
			return;
		}
		if (details.member_id !== this.#memberId) return;
		const notice: unknown = details;
		if (kind === "assign") this.#events.assigned(notice as GroupNotices["assign"]);
		else if (kind === "revoke") this.#events.revoked(notice as GroupNotices["revoke"]);
		else if (kind === "lost") this.#lost(notice as GroupNotices["lost"]);
	}

	/**
	 * Commits; resolves, when it is durable, to a code for each. Rejects with UNKNOWN_MEMBER_ID, when
	 * it is no member, or as the broker says, without knowing what was committed then.
	 */
	async commit(commits: readonly Commit[]): Promise<Committed[]> {
		const committed: Committed[] = [];
		for (let from = 0; from < commits.length; from += COMMIT_PARTITIONS_MAX) {
			const some = commits.slice(from, from + COMMIT_PARTITIONS_MAX);
			const topics = some.map(({ topic, partition, offset, metadata }) => ({
				topic,
				partitions: [{ partition, offset, ...(metadata === undefined ? {} : { metadata }) }],
			}));
			const answer = await this.#call("groups.commit", { ...this.#about(), topics });
			for (const [index, commit] of some.entries()) {
				const code = answer.topics[index]?.partitions[0]?.code ?? -1;
				committed.push({ ...commit, code });
			}
		}
		return committed;
	}

	/** What a notice told to give up is given up. */
	async acknowledge({ topics }: GroupNotices["revoke"]): Promise<void> {
		const given = topics.map(({ topic_id, partitions }) => ({ topic_id, partitions }));
		await this.#call("groups.acknowledge", { ...this.#about(), topics: given });
	}

	async progress(): Promise<void> {
		await this.#call("groups.progress", this.#about());
	}

	/** Leaves the group; it is no member from now on, whatever becomes of that. */
	async leave(): Promise<void> {
		const leaving = this.#call("groups.leave", this.#about());
		this.#state = "out";
		this.#forget();
		await leaving;
	}

	/** Who joins next is another member. */
	#forget(): void {
		this.#memberId = newMemberId();
		this.#isKnown = false;
	}

	#lost({ code, message }: GroupNotices["lost"]): void {
		this.#state = "out";
		this.#forget();
		this.#events.lost(MillraceError.fromNumber(code, message));
	}

	/** Throws UNKNOWN_MEMBER_ID, or CONNECTION_LOST while it may still turn out to be a member. */
	#about(): { group: string; member_id: string } {
		const { group } = this.#terms;
		const isToCome = this.#connection === undefined && this.#isKnown;
		if (isToCome || this.#state === "joining") {
			throw new MillraceError("CONNECTION_LOST", `${group} is joined again when there is one`);
		}
		if (this.#state === "in") return { group, member_id: this.#memberId };
		throw new MillraceError("UNKNOWN_MEMBER_ID", `${group} has no such member at the moment`);
	}

	async #call<Name extends CallName>(
		name: Name,
		takes: CallArguments<Name>,
	): Promise<CallAnswer<Name>> {
		const connection = this.#connection;
		if (connection === undefined) throw new MillraceError("CONNECTION_LOST");
		const answer = await connection.request(OPERATION.call, name, takes as unknown as FrameValue);
		return answer as unknown as CallAnswer<Name>;
	}
}

/** A random UUID. Not `crypto.randomUUID`, which pages have only where they came by https. */
function newMemberId(): string {
	const bytes = crypto.getRandomValues(new Uint8Array(16));
	bytes[6] = ((bytes[6] as number) & 0x0f) | 0x40;
	bytes[8] = ((bytes[8] as number) & 0x3f) | 0x80;
	const digits = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
	return digits.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}
