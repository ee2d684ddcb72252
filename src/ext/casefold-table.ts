/**
 * Case folding of Unicode 12.1 (CaseFolding.txt, the rows of status C and F), for text that is decomposed already: what
 * a canonical decomposition and the rows of its parts give is left out. Every entry is in hexadecimal: `FIRST-LAST+D`
 * adds D to each character of a range, `~D` subtracts it, `/2` says every second one; `C=A,B` replaces C.
 */
export const CASE_FOLDING = `
41-5a+20 b5+307 c6+20 d0+20 d8+20 de+20 110+1 126+1 132+1 13f-141/2+1 14a+1 152+1 166+1 17f~10c 181+d2 182-184/2+1
186+ce 187+1 189-18a+cd 18b+1 18e+4f 18f+ca 190+cb 191+1 193+cd 194+cf 196+d3 197+d1 198+1 19c+d3 19d+d5 19f+d6
1a2-1a4/2+1 1a6+da 1a7+1 1a9+da 1ac+1 1ae+da 1b1-1b2+d9 1b3-1b5/2+1 1b7+db 1b8+1 1bc+1 1c4+2 1c5+1 1c7+2 1c8+1 1ca+2
1cb+1 1e4+1 1f1+2 1f2+1 1f6~61 1f7~38 21c+1 220~82 222-224/2+1 23a+2a2b 23b+1 23d~a3 23e+2a28 241+1 243~c3 244+45
245+47 246-24e/2+1 345+74 370-372/2+1 376+1 37f+74 391-3a1+20 3a3-3a9+20 3c2+1 3cf+8 3d0~1e 3d1~19 3d5~f 3d6~16
3d8-3ee/2+1 3f0~36 3f1~30 3f4~3c 3f5~40 3f7+1 3f9~7 3fa+1 3fd-3ff~82 402-40a/2+50 405+50 409-40b/2+50 40f+50
410-42e/2+20 411-417/2+20 41b-42f/2+20 460-474/2+1 478-480/2+1 48a-4be/2+1 4c0+f 4c3-4cd/2+1 4d4+1 4d8+1 4e0+1 4e8+1
4f6+1 4fa-52e/2+1 531-556+30 10a0-10c5+1c60 10c7+1c60 10cd+1c60 13f8-13fd~8 1c80~184e 1c81~184d 1c82~1844
1c83-1c84~1842 1c85~1843 1c86~183c 1c87~1824 1c88+89c3 1c90-1cba~bc0 1cbd-1cbf~bc0 1efa-1efe/2+1 2126~1d5d 212a~20bf
2132+1c 2160-216f+10 2183+1 24b6-24cf+1a 2c00-2c2e+30 2c60+1 2c62~29f7 2c63~ee6 2c64~29e7 2c67-2c6b/2+1 2c6d~2a1c
2c6e~29fd 2c6f~2a1f 2c70~2a1e 2c72+1 2c75+1 2c7e-2c7f~2a3f 2c80-2ce2/2+1 2ceb-2ced/2+1 2cf2+1 a640-a66c/2+1
a680-a69a/2+1 a722-a72e/2+1 a732-a76e/2+1 a779-a77b/2+1 a77d~8a04 a77e-a786/2+1 a78b+1 a78d~a528 a790-a792/2+1
a796-a7a8/2+1 a7aa~a544 a7ab~a54f a7ac~a54b a7ad~a541 a7ae~a544 a7b0~a512 a7b1~a52a a7b2~a515 a7b3+3a0 a7b4-a7be/2+1
a7c2+1 a7c4~30 a7c5~a543 a7c6~8a38 ab70-abbf~97d0 ff21-ff3a+20 10400-10427+28 104b0-104d3+28 10c80-10cb2+40
118a0-118bf+20 16e40-16e5f+20 1e900-1e921+22 df=73,73 149=2bc,6e 587=565,582 1e9a=61,2be 1e9e=73,73 fb00=66,66
fb01=66,69 fb02=66,6c fb03=66,66,69 fb04=66,66,6c fb05=73,74 fb06=73,74 fb13=574,576 fb14=574,565 fb15=574,56b
fb16=57e,576 fb17=574,56d
`;

/** Characters that a comparison passes over (DerivedCoreProperties.txt of Unicode 12.1, Default_Ignorable_Code_Point). */
export const IGNORABLE = `
ad 34f 61c 115f-1160 17b4-17b5 180b-180e 200b-200f 202a-202e 2060-206f 3164 fe00-fe0f feff ffa0 fff0-fff8 1bca0-1bca3
1d173-1d17a e0000-e0fff
`;
