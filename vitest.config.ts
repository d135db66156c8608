import { defineConfig } from 'vitest/config';

// Target es2022: `using` is compiled down for Node 20.
const oxc = { target: 'es2022' } as const;

export default defineConfig({
  oxc,
  test: {
    projects: [
      {
        oxc,
        test: { name: 'unit', include: ['test/unit/**/*.test.ts', 'test/fuzz/**/*.test.ts'], testTimeout: 20_000 },
      },
      {
        oxc,
        test: {
          name: 'integration',
          include: ['test/integration/**/*.test.ts'],
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
      {
        oxc,
        test: {
          name: 'e2e',
          include: ['test/e2e/**/*.test.ts'],
          testTimeout: 240_000,
          hookTimeout: 300_000,
          // One real cluster on two cores: suites run one after another.
          fileParallelism: false,
        },
      },
    ],
  },
});
