/** Resolves on a later turn of the event loop, behind what sockets and timers had for it. */
export function nextTurn(): Promise<void> {
	return new Promise((resolve) => setImmediate(resolve));
}
