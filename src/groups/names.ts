/** Names that clients bring: of groups, clients, instances and protocols. */
import { LIMITS } from "../limits.ts";

export function isNameTooLong(name: string): boolean {
	return Buffer.byteLength(name) > LIMITS.groupNameBytesMax;
}
