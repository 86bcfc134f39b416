/**
 * Accepted sockets that all read into the same memory.
 *
 * node:net takes 64 KiB of new memory for each read, and gives back what was not filled. A socket
 * with `onread` reads into memory that it is given instead, as much at a time as fits. node:net has
 * that for sockets that connect and not for a listener's, whose handle is therefore moved to a
 * socket of its own making. (`_handle` is undocumented, and has been there in every Node.)
 */
import { Socket, type SocketConstructorOpts } from "node:net";

/** Bytes that one read may bring. */
export const READ_BYTES = 524_288;

/**
 * Moves what a listener accepted, which must not have been read from, to a socket that reads into
 * `memory`: each read calls `onRead` with what came, which is good until that returns. Nothing is
 * read before the socket is resumed. Reads of other sockets may share the memory.
 */
export function readInto(
	memory: Buffer,
	accepted: Socket,
	onRead: (chunk: Buffer) => void,
): Socket {
	const holder = accepted as unknown as { _handle: unknown };
	const handle = holder._handle;
	holder._handle = null;
	// It was counted as one of the listener's, which would wait for its end.
	accepted.destroy();
	const callback = (bytes: number): boolean => {
		onRead(memory.subarray(0, bytes));
		return true;
	};
	const options = { handle, allowHalfOpen: accepted.allowHalfOpen, manualStart: true };
	return new Socket({ ...options, onread: { buffer: memory, callback } } as SocketConstructorOpts);
}
