/** The id that stands for none: sixteen zero bytes. */
export const NIL_UUID = "00000000-0000-0000-0000-000000000000";

/** Bytes of a UUID on the wire. */
export const UUID_BYTES = 16;

const HEX: readonly string[] = Array.from({ length: 256 }, (_, byte) =>
	byte.toString(16).padStart(2, "0"),
);

/**
 * The canonical form, hyphenated and in lower case, of the sixteen bytes at `at`. The caller has
 * checked that they are there.
 */
export function uuidFrom(bytes: Uint8Array, at: number): string {
	const hex = (index: number): string => HEX[bytes[at + index] as number] as string;
	return (
		`${hex(0)}${hex(1)}${hex(2)}${hex(3)}-${hex(4)}${hex(5)}-${hex(6)}${hex(7)}-` +
		`${hex(8)}${hex(9)}-${hex(10)}${hex(11)}${hex(12)}${hex(13)}${hex(14)}${hex(15)}`
	);
}

/** Puts the sixteen bytes of a canonical UUID at `at`. Throws RangeError for any other text. */
export function putUuid(bytes: Uint8Array, at: number, uuid: string): void {
	if (uuid.length !== 36) throw new RangeError(`not a UUID: ${uuid}`);
	let invalid = 0;
	let character = 0;
	for (let index = 0; index < UUID_BYTES; index++) {
		if (index === 4 || index === 6 || index === 8 || index === 10) {
			if (uuid.charCodeAt(character++) !== 0x2d) invalid = 1;
		}
		const high = nibble(uuid.charCodeAt(character++));
		const low = nibble(uuid.charCodeAt(character++));
		invalid |= (high | low) & ~0xf;
		bytes[at + index] = (high << 4) | low;
	}
	if (invalid !== 0) throw new RangeError(`not a UUID: ${uuid}`);
}

/** The value of a hexadecimal digit; more than 15 for anything else. */
function nibble(unit: number): number {
	if (unit >= 0x30 && unit <= 0x39) return unit - 0x30;
	if (unit >= 0x61 && unit <= 0x66) return unit - 0x61 + 10;
	return 0x10;
}
