/**
 * A proxy in front of a broker that can keep what the broker says from its clients: what a client
 * has asked for happens, and the client does not learn of it.
 */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

const HOST = "127.0.0.1";

export class MutingProxy {
	/** "ws://…" for clients. */
	readonly url: string;
	/** What the broker says is dropped. */
	isMute = false;
	readonly #clients = new Set<Socket>();

	private constructor(port: number) {
		this.url = `ws://${HOST}:${port}`;
	}

	/** `brokerPort` may come and go; clients are cut off while nobody listens there. */
	static async start(
		brokerPort: number,
		atEnd: (cleanup: () => Promise<void>) => void,
	): Promise<MutingProxy> {
		const server = createServer({ noDelay: true }).listen(0, HOST);
		await once(server, "listening");
		const proxy = new MutingProxy((server.address() as AddressInfo).port);
		server.on("connection", (client: Socket) => proxy.#serve(client, brokerPort));
		atEnd(async () => {
			proxy.cut();
			server.close();
			await once(server, "close");
		});
		return proxy;
	}

	/** Ends all connections. */
	cut(): void {
		for (const client of this.#clients) client.destroy();
	}

	#serve(client: Socket, brokerPort: number): void {
		this.#clients.add(client);
		const broker = connect({ port: brokerPort, host: HOST, noDelay: true });
		client.on("data", (bytes) => broker.write(bytes));
		broker.on("data", (bytes) => {
			if (!this.isMute) client.write(bytes);
		});
		for (const [from, to] of [
			[client, broker],
			[broker, client],
		] as const) {
			// Its close follows, and is all that matters.
			from.on("error", () => undefined);
			from.on("close", () => to.destroy());
		}
		client.on("close", () => this.#clients.delete(client));
	}
}
