// How the programs of this folder print what they measured.

/** Prints a figure beside its limit, and returns whether it is within it. */
export function report(subject, what, figure, limit) {
    const reached = figure <= limit;
    const text = `${what.padEnd(46)} ${figure.toFixed(2).padStart(8)}  limit ${limit}`;
    console.log(`${subject.padEnd(9)} ${text}  ${reached ? "ok" : "TOO MUCH"}`);
    return reached;
}
