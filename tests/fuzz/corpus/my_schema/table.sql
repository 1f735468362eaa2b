CREATE TABLE `we``ird, (name` (
  `a``b, c` int(11) NOT NULL COMMENT ') , KEY `x` (',
  `select` enum('a,b',')','''','\\','`') CHARACTER SET utf8 NOT NULL DEFAULT '''',
  `ts2` timestamp(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6),
  `g` int(11) GENERATED ALWAYS AS ((`id` + 1)) VIRTUAL,
  `b` bit(3) DEFAULT b'101',
  PRIMARY KEY (`a``b, c`),
  UNIQUE KEY `u` (`ts2`,`g` DESC),
  KEY `k``,(` (`select`,`u`(10),(lower(`x`))) USING BTREE COMMENT 'c',
  FULLTEXT KEY `ft` (`u`) /*!50100 WITH PARSER `ngram` */ ,
  SPATIAL KEY `sp` (`g`),
  CONSTRAINT `fk` FOREIGN KEY (`p`) REFERENCES `db`.`parent` (`id`) ON DELETE CASCADE,
  CONSTRAINT `ck` CHECK ((`total` > 1)),
  PERIOD FOR SYSTEM_TIME (`s`, `e`)
) ENGINE=InnoDB AUTO_INCREMENT=5 DEFAULT CHARSET=utf8mb4 COLLATE=utf8_bin ROW_FORMAT=FIXED DATA DIRECTORY='/x/' COMMENT='it''s'
/*!50100 PARTITION BY RANGE (year(d))
(PARTITION p0 VALUES LESS THAN (2000) DATA DIRECTORY = '/a' ENGINE = InnoDB,
 PARTITION tablespace VALUES LESS THAN MAXVALUE TABLESPACE = `ts` ENGINE = InnoDB) */
