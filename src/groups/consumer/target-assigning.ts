/**
 * Computes what the members of a consumer group should have, with the assignor that most of them
 * ask for, and not so often that large groups keep the loop busy.
 */

import type { GroupRecord } from "../group.ts";
import { NO_PARTITIONS, partitionCount } from "./assignment.ts";
import { ASSIGNORS, type AssignorName } from "./assignors.ts";
import type { ConsumerState } from "./consumer-state.ts";

/** An assignment that took less than this may be followed by the next at once, in milliseconds. */
const ASSIGNING_MS_FREE = 2;
/**
 * So may one of fewer members and partitions than this: where it took long, the machine did
 * something else meanwhile.
 */
const ASSIGNING_SIZE_FREE = 1_000;
/** Otherwise a group's assignments take a fiftieth of the loop's time at most. */
const ASSIGNING_PAUSE_FACTOR = 50;
const ASSIGNING_PAUSE_MS_MAX = 1_000;

export interface TargetAssigningHost {
	/** The first is for groups whose members ask for none. */
	readonly assignors: readonly AssignorName[];
	/** Milliseconds that never go backwards. */
	monotonicMs(): number;
	/** Milliseconds since 1970. */
	wallMs(): number;
	debug(details: object, message: string): void;
}

export class TargetAssigning {
	readonly #state: ConsumerState;
	readonly #host: TargetAssigningHost;
	/** From when on the next assignment may be computed, on the monotonic clock. */
	#assignableMs = 0;

	constructor(state: ConsumerState, host: TargetAssigningHost) {
		this.#state = state;
		this.#host = host;
	}

	/** Whether there is something else to assign, and it may be now. */
	get isDue(): boolean {
		return this.#state.epoch > this.#state.assignmentEpoch && this.leftMs <= 0;
	}

	/** When the next assignment may be computed, in milliseconds from now. */
	get leftMs(): number {
		return this.#assignableMs - this.#host.monotonicMs();
	}

	/** Computes the target assignment of the group's epoch. */
	assign(records: GroupRecord[]): void {
		const startMs = this.#host.monotonicMs();
		const state = this.#state;
		const members = [...state.members()];
		const assignor = this.assignorName;
		const targets = ASSIGNORS[assignor](
			members.map(({ memberId, profile, target }) => ({
				memberId,
				instanceId: profile.instanceId,
				topics: state.subscriptions.topicsOf(profile.subscription),
				current: target,
			})),
		);
		let size = members.length;
		for (const [index, member] of members.entries()) {
			const target = targets[index] ?? NO_PARTITIONS;
			size += partitionCount(target);
			if (target === member.target) continue;
			member.target = target;
			records.push(state.targetRecord(member));
		}
		state.assignmentEpoch = state.epoch;
		state.assignmentMs = this.#host.wallMs();
		records.push(state.targetEpochRecord());
		const endMs = this.#host.monotonicMs();
		const tookMs = endMs - startMs;
		const pauseMs = Math.min(tookMs * ASSIGNING_PAUSE_FACTOR, ASSIGNING_PAUSE_MS_MAX);
		const isFree = tookMs < ASSIGNING_MS_FREE || size < ASSIGNING_SIZE_FREE;
		this.#assignableMs = isFree ? endMs : endMs + pauseMs;
		this.#host.debug({ epoch: state.epoch, assignor, tookMs }, "partitions are assigned");
	}

	/** The one that most members ask for. */
	get assignorName(): AssignorName {
		const { assignors } = this.#host;
		const votes = new Map<string | null, number>();
		for (const { profile } of this.#state.members()) {
			votes.set(profile.serverAssignor, (votes.get(profile.serverAssignor) ?? 0) + 1);
		}
		let winner = assignors[0] ?? "uniform";
		for (const name of assignors) {
			if ((votes.get(name) ?? 0) > (votes.get(winner) ?? 0)) winner = name;
		}
		return winner;
	}
}
