/**
 * The bytes of a request are not what its API and version say. Kafka closes the connection then,
 * since nothing behind such a frame can be trusted; so do we.
 */
export class KafkaFrameError extends Error {
	override readonly name = "KafkaFrameError";
	/** Where in the frame, in bytes behind its length. */
	readonly position: number;

	constructor(message: string, position: number) {
		super(`${message} at byte ${position}`);
		this.position = position;
	}
}
