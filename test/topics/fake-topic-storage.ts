import type { TopicHandle, TopicLogConfig } from "../../src/storage/storage.ts";
import type { TopicStorage } from "../../src/topics/catalogue.ts";

type Spec = Parameters<TopicStorage["openTopics"]>[0][number];

/** Storage that only remembers what it was told, in order. */
export class FakeTopicStorage implements TopicStorage {
	readonly calls: string[] = [];
	/** For each time that unknown directories were set aside, what had been called before. */
	readonly setAsideAfter: string[][] = [];
	readonly specs = new Map<TopicHandle, Spec>();
	/** While set, deletions of files wait for it. */
	deletionGate: Promise<void> | undefined;
	failNextOpen = false;
	#nextHandle = 1;

	async openTopics(specs: Spec[]): Promise<TopicHandle[]> {
		await Promise.resolve();
		if (this.failNextOpen) {
			this.failNextOpen = false;
			throw new Error("open failed on request");
		}
		return specs.map((spec) => {
			this.calls.push(`open ${spec.name} ${spec.partitions}${spec.existing ? " existing" : ""}`);
			const handle = this.#nextHandle++ as TopicHandle;
			this.specs.set(handle, spec);
			return handle;
		});
	}

	async addPartitions(topic: TopicHandle, partitions: number): Promise<void> {
		this.calls.push(`grow ${this.specs.get(topic)?.name} ${partitions}`);
	}

	configureTopic(topic: TopicHandle, config: TopicLogConfig): void {
		this.calls.push(`configure ${this.specs.get(topic)?.name} ${config.flushMessages}`);
	}

	async deleteTopic(topic: TopicHandle): Promise<void> {
		this.calls.push(`delete ${this.specs.get(topic)?.name}`);
		await this.deletionGate;
		this.calls.push(`gone ${this.specs.get(topic)?.name}`);
	}

	async removeTopicFiles(topicId: string): Promise<void> {
		await this.deletionGate;
		this.calls.push(`remove ${topicId}`);
	}

	async setAsideUnclaimed(): Promise<void> {
		this.setAsideAfter.push([...this.calls]);
	}
}
