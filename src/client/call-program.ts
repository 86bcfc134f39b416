/**
 * Calls a function of the program that uses the client. What it throws is the program's, uncaught
 * as from a timer: the client would else take it for a failure of what it was doing.
 */
export function callProgram<Parameters extends unknown[]>(
	callback: (...parameters: Parameters) => void,
	...parameters: Parameters
): void {
	try {
		callback(...parameters);
	} catch (error) {
		queueMicrotask(() => {
			throw error;
		});
	}
}
