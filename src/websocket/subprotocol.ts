import { SUBPROTOCOL } from "../protocol/operations.ts";

/**
 * The sub-protocol to answer with: ours if it is offered, none ("") if none is offered, undefined
 * (refuse) if only others are. `offered` is the header's value, a list with commas.
 */
export function chooseSubprotocol(offered: string): string | undefined {
	if (offered.trim() === "") return "";
	const names = offered.split(",").map((name) => name.trim());
	return names.includes(SUBPROTOCOL) ? SUBPROTOCOL : undefined;
}
