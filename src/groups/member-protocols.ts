/** What members of the classic protocol bring to choose a protocol from. */
import type { MemberProtocol } from "./requests.ts";

/** The protocols in memory of their own; the metadata of a request may be a view of its frame. */
export function copyProtocols(protocols: readonly MemberProtocol[]): MemberProtocol[] {
	return protocols.map(({ name, metadata }) => ({ name, metadata: new Uint8Array(metadata) }));
}

/** Whether both are the same, in the same order of preference. */
export function areSameProtocols(
	left: readonly MemberProtocol[],
	right: readonly MemberProtocol[],
): boolean {
	if (left.length !== right.length) return false;
	return left.every(({ name, metadata }, index) => {
		const other = right[index];
		return other?.name === name && Buffer.compare(other.metadata, metadata) === 0;
	});
}

/** Bytes that they hold. */
export function protocolBytes(protocols: readonly MemberProtocol[]): number {
	return protocols.reduce((sum, { name, metadata }) => sum + name.length + metadata.length, 0);
}
