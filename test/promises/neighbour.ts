/** Somebody who uses a broker in peace, while something else is done to it. */
import { expect } from "vitest";

import { type Client, type Consumer, connect, type Producer } from "../../src/client/index.ts";

/** Produces numbers one behind the other and consumes them, all the time. */
export class Neighbour {
	#consumed = 0;
	#failure: unknown;
	#isStopping = false;
	readonly #client: Client;
	readonly #producer: Producer<number>;
	readonly #consumer: Consumer<number>;
	readonly #producing: Promise<void>;
	readonly #consuming: Promise<void>;

	private constructor(client: Client) {
		this.#client = client;
		this.#producer = client.producer<number>();
		this.#consumer = client.consumer<number>({ topics: "neighbour", from: "earliest" });
		const failed = (error: unknown) => {
			this.#failure ??= error;
		};
		this.#producing = this.#produce().catch(failed);
		this.#consuming = this.#consume().catch(failed);
	}

	static async start(url: string): Promise<Neighbour> {
		const client = await connect(url);
		await client.topics.create("neighbour");
		return new Neighbour(client);
	}

	/** Resolves when ten more records went through, in order, on the first connection. */
	async goesOn(): Promise<void> {
		const goal = this.#consumed + 10;
		const deadlineMs = Date.now() + 180_000;
		while (this.#consumed < goal) {
			expect(this.#failure).toBeUndefined();
			expect(Date.now(), "the neighbour goes on").toBeLessThan(deadlineMs);
			await new Promise((resolve) => setTimeout(resolve, 5));
		}
		expect(this.#client.state).toBe("ready");
	}

	async stop(): Promise<void> {
		this.#isStopping = true;
		await this.#producing;
		await this.#consumer.close();
		await this.#consuming;
		expect(this.#failure).toBeUndefined();
		await this.#client.close();
	}

	async #produce(): Promise<void> {
		for (let number = 0; !this.#isStopping; number++) {
			expect((await this.#producer.send({ topic: "neighbour", value: number })).offset).toBe(
				number,
			);
		}
	}

	async #consume(): Promise<void> {
		for await (const { value, offset } of this.#consumer) {
			expect([value, offset]).toEqual([this.#consumed, this.#consumed]);
			this.#consumed++;
		}
	}
}
