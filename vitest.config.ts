import { defineConfig } from 'vitest/config';

// Target es2022: esbuild compiles `using` down for Node 20.
const esbuild = { target: 'es2022' } as const;

export default defineConfig({
  esbuild,
  test: {
    projects: [
      {
        esbuild,
        test: { name: 'unit', include: ['test/unit/**/*.test.ts'], testTimeout: 20_000 },
      },
      {
        esbuild,
        test: {
          name: 'integration',
          include: ['test/integration/**/*.test.ts'],
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
      {
        esbuild,
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
