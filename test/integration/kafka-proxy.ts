/**
 * A proxy in front of a Kafka broker that knows where frames begin and end: it can look at each,
 * and cut connections in the middle of one. Brokers tell clients where to connect, so addresses in
 * answers become the proxy's; hosts are "127.0.0.1" on both sides, so that no length changes.
 */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";

const LENGTH_BYTES = 4;
const HOST = "127.0.0.1";

export interface KafkaProxyOptions {
	/** The broker, "127.0.0.1:PORT". */
	readonly broker: string;
	/** Sees each frame, without its length, before its addresses are changed. */
	onFrame?(direction: "request" | "response", frame: Buffer, connection: number): void;
	/**
	 * How many bytes of a frame (which is given without its length, but they count with it) to let
	 * through before both connections are cut; null lets it pass whole.
	 */
	cutAt?(direction: "request" | "response", frame: Buffer, connection: number): number | null;
}

export class KafkaProxy {
	/** "127.0.0.1:PORT" for clients. */
	readonly address: string;
	/** How many connections were cut so far. */
	cuts = 0;
	readonly #options: KafkaProxyOptions;
	readonly #server: Server;
	readonly #sockets = new Set<Socket>();
	/** The broker's address as it stands in answers, and what it becomes. */
	readonly #brokerBytes: Buffer;
	readonly #ownBytes: Buffer;
	#connections = 0;

	private constructor(server: Server, options: KafkaProxyOptions) {
		const { port } = server.address() as AddressInfo;
		this.#server = server;
		this.#options = options;
		this.address = `${HOST}:${port}`;
		this.#brokerBytes = addressBytes(portOf(options.broker));
		this.#ownBytes = addressBytes(port);
		server.on("connection", (client: Socket) => this.#serve(client));
	}

	static async start(options: KafkaProxyOptions): Promise<KafkaProxy> {
		const server = createServer({ noDelay: true }).listen(0, HOST);
		await once(server, "listening");
		return new KafkaProxy(server, options);
	}

	async close(): Promise<void> {
		for (const socket of this.#sockets) socket.destroy();
		this.#server.close();
		await once(this.#server, "close");
	}

	#serve(client: Socket): void {
		const broker = connect({ port: portOf(this.#options.broker), host: HOST, noDelay: true });
		const number = this.#connections++;
		let isCut = false;
		const cut = () => {
			client.destroy();
			broker.destroy();
		};
		for (const socket of [client, broker]) {
			this.#sockets.add(socket);
			// A reset is one way to end, and the other side is told by "close".
			socket.on("error", () => undefined);
			socket.on("close", () => {
				this.#sockets.delete(socket);
				cut();
			});
		}
		const pass = (direction: "request" | "response", to: Socket) => (frame: Buffer) => {
			// Nothing may follow the part of a frame.
			if (isCut) return;
			const body = frame.subarray(LENGTH_BYTES);
			this.#options.onFrame?.(direction, body, number);
			const bytes = direction === "request" ? frame : this.#withOwnAddress(frame);
			const cutAt = this.#options.cutAt?.(direction, body, number) ?? null;
			if (cutAt === null) return void to.write(bytes);
			isCut = true;
			this.cuts += 1;
			to.write(bytes.subarray(0, cutAt), cut);
		};
		client.on("data", framesTo(pass("request", broker)));
		broker.on("data", framesTo(pass("response", client)));
	}

	#withOwnAddress(frame: Buffer): Buffer {
		let at = frame.indexOf(this.#brokerBytes);
		if (at < 0) return frame;
		const changed = Buffer.from(frame);
		for (; at >= 0; at = changed.indexOf(this.#brokerBytes, at)) this.#ownBytes.copy(changed, at);
		return changed;
	}
}

const portOf = (address: string): number => Number(address.slice(address.lastIndexOf(":") + 1));

/** A host and a port, as they follow each other in every answer that names a broker. */
function addressBytes(port: number): Buffer {
	const bytes = Buffer.alloc(HOST.length + 4);
	bytes.write(HOST);
	bytes.writeInt32BE(port, HOST.length);
	return bytes;
}

/** Takes chunks and gives whole frames with their lengths. */
function framesTo(give: (frame: Buffer) => void): (chunk: Buffer) => void {
	let received: Buffer = Buffer.alloc(0);
	return (chunk) => {
		received = received.length === 0 ? chunk : Buffer.concat([received, chunk]);
		while (received.length >= LENGTH_BYTES) {
			const end = LENGTH_BYTES + received.readInt32BE();
			if (received.length < end) return;
			give(received.subarray(0, end));
			received = received.subarray(end);
		}
	};
}
