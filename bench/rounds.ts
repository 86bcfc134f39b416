/** The option `--rounds` of the programs that measure. */
import { InvalidArgumentError } from "commander";

const ROUNDS_MAX = 100;

/** How often everything is measured. Throws InvalidArgumentError. */
export function parseRounds(text: string): number {
	const rounds = Number(text);
	if (!(Number.isInteger(rounds) && rounds >= 1 && rounds <= ROUNDS_MAX)) {
		throw new InvalidArgumentError(`Expected a number of rounds from 1 to ${ROUNDS_MAX}.`);
	}
	return rounds;
}
