import type { MillraceError } from "../../src/errors.ts";
import { ClassicGroup, type ClassicGroupHost } from "../../src/groups/classic/classic-group.ts";
import type { Group, GroupRecord } from "../../src/groups/group.ts";
import type { Waiter } from "../../src/groups/member.ts";
import { StateBudget } from "../../src/groups/offsets/committed-offsets.ts";
import type {
	HeartbeatRequest,
	JoinAnswer,
	JoinRequest,
	SyncAnswer,
	SyncRequest,
} from "../../src/groups/requests.ts";
import { Timers } from "../../src/groups/timers.ts";
import { FakeClock } from "./fake-clock.ts";
import { joinRequest } from "./harness.ts";

interface PendingAppend {
	readonly records: readonly GroupRecord[];
	readonly done: (error?: MillraceError) => void;
}

/** What a classic group needs around it, with time and disk in the test's hands. */
export class GroupHost implements ClassicGroupHost {
	readonly clock = new FakeClock();
	readonly timers = new Timers(this.clock);
	readonly budget = new StateBudget(1_000_000_000);
	readonly appends: PendingAppend[] = [];
	readonly warnings: string[] = [];
	initialRebalanceDelayMs = 0;
	membersMax = 1_000;
	shrunkCount = 0;

	wallMs(): number {
		return this.clock.wallMs();
	}

	append(
		_group: Group,
		records: readonly GroupRecord[],
		done: (error?: MillraceError) => void,
	): void {
		this.appends.push({ records, done });
	}

	onShrunk(): void {
		this.shrunkCount++;
	}

	debug(): void {
		// Nobody reads it here.
	}

	warn(_group: Group, _details: object, message: string): void {
		this.warnings.push(message);
	}

	/** Ends every append that is under way, in order. */
	settle(error?: MillraceError): void {
		for (const { done } of this.appends.splice(0)) done(error);
	}
}

/** An answer that a test waits for without waiting: it looks whether it has come. */
export class Reply<Answer> implements Waiter<Answer> {
	answer: Answer | undefined;
	error: MillraceError | undefined;
	/** How often it was answered: never more than once. */
	count = 0;

	resolve(answer: Answer): void {
		this.count++;
		this.answer = answer;
	}

	reject(error: MillraceError): void {
		this.count++;
		this.error = error;
	}

	/** The error's code; NONE for an answer, WAITING while there is neither. */
	get code(): string {
		if (this.count === 0) return "WAITING";
		return this.error?.code ?? "NONE";
	}

	/** The answer; fails when there is none. */
	get value(): Answer {
		if (this.answer === undefined) throw new Error(`no answer but ${this.code}`);
		return this.answer;
	}

	/** The member id of a refusal. */
	get memberId(): string | undefined {
		return (this.error as { memberId?: string } | undefined)?.memberId;
	}
}

/** A group and shorthands for what its members do. */
export class GroupDriver {
	readonly host: GroupHost;
	readonly group: ClassicGroup;

	constructor(options: { initialRebalanceDelayMs?: number; membersMax?: number } = {}) {
		this.host = Object.assign(new GroupHost(), options);
		this.group = new ClassicGroup("g", 0, this.host);
	}

	get state(): string {
		return this.group.summary().state;
	}

	join(change: Partial<JoinRequest> = {}): Reply<JoinAnswer> {
		const reply = new Reply<JoinAnswer>();
		this.group.join(joinRequest(change), reply);
		return reply;
	}

	sync(
		memberId: string,
		generation: number,
		assignments: Record<string, string> = {},
		change: Partial<SyncRequest> = {},
	): Reply<SyncAnswer> {
		const reply = new Reply<SyncAnswer>();
		const list = Object.entries(assignments).map(([id, text]) => ({
			memberId: id,
			assignment: Buffer.from(text),
		}));
		this.group.sync(
			{
				groupId: "g",
				memberId,
				groupInstanceId: null,
				generation,
				protocolType: null,
				protocolName: null,
				assignments: list,
				...change,
			},
			reply,
		);
		return reply;
	}

	/** The code of a heartbeat. */
	heartbeat(memberId: string, generation: number, groupInstanceId: string | null = null): string {
		const request: HeartbeatRequest = { groupId: "g", memberId, generation, groupInstanceId };
		return codeOfCall(() => this.group.heartbeat(request));
	}

	/** The code of a commit by a member. */
	commit(memberId: string, generation: number, groupInstanceId: string | null = null): string {
		return codeOfCall(() =>
			this.group.admitCommit({
				groupId: "g",
				memberId,
				generation,
				groupInstanceId,
				retentionMs: null,
				knowsGroupIdNotFound: true,
				topics: [],
			}),
		);
	}

	/** A stable group of so many members, the leader first; each is assigned its index. */
	stable(count: number, change: (index: number) => Partial<JoinRequest> = () => ({})): string[] {
		const first = this.join(change(0));
		const others = Array.from({ length: count - 1 }, (_, index) => this.join(change(index + 1)));
		// The first got a generation of its own: the others wait for it to join again.
		const joins = [first, ...others];
		if (others.length > 0) {
			joins[0] = this.join({ ...change(0), memberId: first.value.memberId });
		}
		const ids = joins.map(({ value }) => value.memberId);
		const { generation, leader } = joins[0]!.value;
		const assignments = Object.fromEntries(ids.map((id, index) => [id, `${index}`]));
		for (const [index, id] of ids.entries()) {
			const { groupInstanceId = null } = change(index);
			this.sync(id, generation, id === leader ? assignments : {}, { groupInstanceId });
		}
		this.host.settle();
		return ids;
	}
}

export function codeOfCall(call: () => unknown): string {
	try {
		call();
	} catch (error) {
		return (error as { code: string }).code;
	}
	return "NONE";
}

export const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString();
