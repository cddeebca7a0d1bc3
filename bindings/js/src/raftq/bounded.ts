/** Makes an entry the newest one of a map, and removes the oldest if there are more than `most`. */
export function remember<T>(map: Map<string, T>, key: string, value: T, most: number): void {
    map.delete(key);
    map.set(key, value);
    if (map.size > most) map.delete(map.keys().next().value as string);
}
