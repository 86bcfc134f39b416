import type { Assignment } from "./assignment.ts";

/** Which member of a group has a partition, or is still to give it up: one at most. */
export class PartitionOwners {
	readonly #topics = new Map<string, Map<number, string>>();

	isFree(topicId: string, partition: number): boolean {
		return this.#topics.get(topicId)?.has(partition) !== true;
	}

	/** Whether nobody but the member has any of them. */
	mayClaim(partitions: Assignment, memberId: string): boolean {
		for (const [topicId, numbers] of partitions) {
			const owners = this.#topics.get(topicId);
			if (owners === undefined) continue;
			for (const partition of numbers) {
				if ((owners.get(partition) ?? memberId) !== memberId) return false;
			}
		}
		return true;
	}

	/** A partition that another member has is a bug, and throws. */
	claim(partitions: Assignment, memberId: string): void {
		for (const [topicId, numbers] of partitions) {
			let owners = this.#topics.get(topicId);
			if (owners === undefined) {
				owners = new Map();
				this.#topics.set(topicId, owners);
			}
			for (const partition of numbers) {
				const owner = owners.get(partition) ?? memberId;
				if (owner !== memberId) {
					throw new Error(`${topicId}/${partition} is ${owner}'s, and ${memberId} claims it`);
				}
				owners.set(partition, memberId);
			}
		}
	}

	release(partitions: Assignment, memberId: string): void {
		for (const [topicId, numbers] of partitions) {
			const owners = this.#topics.get(topicId);
			for (const partition of numbers) {
				if (owners?.get(partition) === memberId) owners.delete(partition);
			}
			if (owners?.size === 0) this.#topics.delete(topicId);
		}
	}
}
