/**
 * The seed of what a test draws at random. It is the same in every run, so that nothing fails by
 * chance; another one explores further, and whatever fails names it:
 *
 *     SEED=$RANDOM npx vitest run test/groups
 */
export const seed = Number(process.env.SEED ?? 1);
