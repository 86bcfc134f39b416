import { MillraceError } from "../errors.ts";
import type { CodeName } from "../protocol/codes.ts";
import { areSameProtocols, protocolBytes } from "./member-protocols.ts";
import type {
	JoinAnswer,
	JoinedMember,
	JoinRequest,
	MemberProtocol,
	SyncAnswer,
} from "./requests.ts";
import type { Deadline } from "./timers.ts";

/** Whoever waits for an answer; one of the two is called, once. */
export interface Waiter<Answer> {
	resolve(answer: Answer): void;
	reject(error: MillraceError): void;
}

/** A join that is refused. Kafka's answer names a member all the same. */
export class JoinRefused extends MillraceError {
	/** The id to join with next; MEMBER_ID_UNKNOWN: as a new member. */
	readonly memberId: string;

	constructor(code: CodeName, memberId: string, particular = "") {
		super(code, particular);
		this.memberId = memberId;
	}
}

const NO_BYTES = new Uint8Array(0);

/** What is known of a member from its last join. */
export type MemberDetails = Pick<
	JoinRequest,
	"clientHost" | "clientId" | "groupInstanceId" | "rebalanceTimeoutMs" | "sessionTimeoutMs"
> & { readonly protocols: readonly MemberProtocol[] };

/** A member of a classic group. */
export class ClassicMember {
	readonly memberId: string;
	readonly groupInstanceId: string | null;
	readonly clientId: string;
	readonly clientHost: string;
	/** Ends the membership unless it is moved on in time. */
	readonly session: Deadline;
	sessionTimeoutMs: number;
	rebalanceTimeoutMs: number;
	protocols: readonly MemberProtocol[];
	assignment: Uint8Array = NO_BYTES;
	/** What it was told in a consumer group, until it has joined this one; null: it was in none. */
	generationBefore: number | null = null;
	/** Has not been answered yet that it is a member: it cannot send heartbeats. */
	isNew = false;
	#join: Waiter<JoinAnswer> | null = null;
	#sync: Waiter<SyncAnswer> | null = null;

	constructor(memberId: string, details: MemberDetails, session: Deadline) {
		this.memberId = memberId;
		this.groupInstanceId = details.groupInstanceId;
		this.clientId = details.clientId;
		this.clientHost = details.clientHost;
		this.sessionTimeoutMs = details.sessionTimeoutMs;
		this.rebalanceTimeoutMs = details.rebalanceTimeoutMs;
		this.protocols = details.protocols;
		this.session = session;
	}

	/** Bytes that the member holds, beside what every member costs. */
	get bytes(): number {
		const texts = this.memberId.length + this.clientId.length;
		return this.assignment.length + texts + protocolBytes(this.protocols);
	}

	get isJoining(): boolean {
		return this.#join !== null;
	}

	get isSyncing(): boolean {
		return this.#sync !== null;
	}

	/** Its metadata in a protocol; empty when it does not have that one. */
	metadata(protocolName: string | null): Uint8Array {
		return this.protocols.find(({ name }) => name === protocolName)?.metadata ?? NO_BYTES;
	}

	/** As the leader is told of it. */
	joined(protocolName: string | null): JoinedMember {
		const { memberId, groupInstanceId } = this;
		return { memberId, groupInstanceId, metadata: this.metadata(protocolName) };
	}

	/** Whether the member says the same as before, in the same order of preference. */
	matches(protocols: readonly MemberProtocol[]): boolean {
		return areSameProtocols(protocols, this.protocols);
	}

	/** The first of its protocols that is among the candidates. */
	vote(candidates: ReadonlySet<string>): string | undefined {
		return this.protocols.find(({ name }) => candidates.has(name))?.name;
	}

	/** Its last sign of life is now. */
	touch(): void {
		this.session.set(this.sessionTimeoutMs);
	}

	/** A join that waited before was given up by its client, or this would not have come. */
	awaitJoin(waiter: Waiter<JoinAnswer>): void {
		this.refuseJoin("REBALANCE_IN_PROGRESS");
		this.#join = waiter;
	}

	awaitSync(waiter: Waiter<SyncAnswer>): void {
		this.refuseSync("REBALANCE_IN_PROGRESS");
		this.#sync = waiter;
	}

	answerJoin(answer: JoinAnswer): void {
		const waiter = this.#join;
		this.#join = null;
		waiter?.resolve(answer);
	}

	refuseJoin(code: CodeName, memberId = this.memberId): void {
		const waiter = this.#join;
		this.#join = null;
		waiter?.reject(new JoinRefused(code, memberId));
	}

	/** Whether anybody waited. */
	answerSync(answer: SyncAnswer): boolean {
		const waiter = this.#sync;
		this.#sync = null;
		waiter?.resolve(answer);
		return waiter !== null;
	}

	/** Whether anybody waited. */
	refuseSync(code: CodeName): boolean {
		const waiter = this.#sync;
		this.#sync = null;
		waiter?.reject(new MillraceError(code));
		return waiter !== null;
	}

	/** It is no member any more. */
	end(code: CodeName): void {
		this.session.clear();
		this.refuseJoin(code, code === "UNKNOWN_MEMBER_ID" ? "" : this.memberId);
		this.refuseSync(code);
	}
}
